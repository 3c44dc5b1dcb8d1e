import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { limitConnections } from './crowd.ts';

const LIMIT = 20;

/** On a connection of its own, because a kept connection may be among the oldest. */
async function ask(url: string): Promise<string> {
  return await (await fetch(url, { headers: { connection: 'close' } })).text();
}

async function serve(
  isLimited: boolean,
): Promise<{ url: string; idle: () => Promise<Socket>; openNow: () => Promise<number> }> {
  const server = createServer((_, response) => response.end('yes'));
  if (isLimited) limitConnections(server, LIMIT);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const clients: Socket[] = [];
  onTestFinished(() => {
    for (const client of clients) client.destroy();
    server.close();
  });
  const idle = async (): Promise<Socket> => {
    const client = connect(port, '127.0.0.1').on('error', () => undefined);
    clients.push(client);
    await once(client, 'connect');
    return client;
  };
  const openNow = (): Promise<number> =>
    new Promise((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))));
  return { url: `http://127.0.0.1:${port}/`, idle, openNow };
}

test('idle connections beyond the limit make the server close the oldest idle one, and requests are answered', async () => {
  const { url, idle, openNow } = await serve(true);
  const first = await idle();
  const gone = once(first, 'close');
  for (let n = 0; n < 5 * LIMIT; n++) {
    await idle();
    if (n % LIMIT === 0) expect(await ask(url)).toBe('yes');
  }
  await gone;
  expect(await openNow()).toBeLessThanOrEqual(LIMIT + 1);
});

test('many connections at once do not make the server close one with a request', async () => {
  const { url, idle } = await serve(true);
  const crowd = Array.from({ length: 200 }, idle);
  expect(await ask(url)).toBe('yes');
  await Promise.all(crowd);
});

test('control: without the limit all of them stay', async () => {
  const { idle, openNow } = await serve(false);
  for (let n = 0; n < 2 * LIMIT; n++) await idle();
  await new Promise((resolve) => setImmediate(resolve));
  expect(await openNow()).toBe(2 * LIMIT);
});
