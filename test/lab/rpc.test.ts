import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { OpError } from '../../lib/errors.ts';
import { CniError } from './cni/invoke.ts';
import { connectRpc, type Handlers, type RpcClient, serveRpc } from './rpc.ts';

interface TestMethods {
  add: { params: { a: number; b: number }; result: number };
  wait: { params: { ms: number }; result: string };
  failCni: { params: null; result: null };
  failOp: { params: null; result: null };
}

const handlers: Handlers<TestMethods> = {
  add: ({ a, b }) => Promise.resolve(a + b),
  wait: async ({ ms }) => {
    await sleep(ms);
    return `after ${ms}`;
  },
  failCni: () => Promise.reject(new CniError(11, 'try again', 'soon')),
  failOp: () => Promise.reject(new OpError({ subsystem: 's', op: 'o', object: 'x', code: 'ENOENT' })),
};

async function connect(): Promise<{ client: RpcClient<TestMethods>; closeServer: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-rpc-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const server = await serveRpc(join(folder, 'socket'), handlers);
  onTestFinished(() => void server.close());
  const client = await connectRpc<TestMethods>(join(folder, 'socket'), 'the test');
  onTestFinished(() => client.close());
  return { client, closeServer: () => server.close() };
}

test('calls run at the same time and each gets its own answer', async () => {
  const { client } = await connect();
  const slow = client.call('wait', { ms: 60 });
  const order: string[] = [];
  const all = [slow.then(() => order.push('slow')), client.call('add', { a: 1, b: 2 }).then(() => order.push('fast'))];
  await Promise.all(all);
  expect(order).toEqual(['fast', 'slow']);
  expect(await slow).toBe('after 60');
  expect(await client.call('add', { a: 2, b: 3 })).toBe(5);
});

test('an error keeps its message, code and details', async () => {
  const { client } = await connect();
  await expect(client.call('failCni', null)).rejects.toMatchObject({
    message: 'try again; soon',
    code: 11,
    details: 'soon',
  });
  await expect(client.call('failOp', null)).rejects.toMatchObject({ message: 's: o x: ENOENT', code: 'ENOENT' });
});

test('a call of an unknown method is an error, also when every object has a property of that name', async () => {
  const { client } = await connect();
  const untyped = client as unknown as RpcClient<Record<string, { params: null; result: null }>>;
  await expect(untyped.call('nothing', null)).rejects.toThrow('no method nothing');
  await expect(untyped.call('toString', null)).rejects.toThrow('no method toString');
});

test('calls fail when the other side goes away', async () => {
  const { client } = await connect();
  const waiting = client.call('wait', { ms: 60_000 });
  client.close();
  await expect(waiting).rejects.toThrow('lab: call the test: EPIPE (it is gone)');
  await expect(client.call('add', { a: 1, b: 1 })).rejects.toMatchObject({ code: 'EPIPE' });
});

test('the error of a failed connection says with whom', async () => {
  await expect(connectRpc('/nowhere/socket', 'node-7')).rejects.toThrow('lab: reach node-7: ENOENT');
});
