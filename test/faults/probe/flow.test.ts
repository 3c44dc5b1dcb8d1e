// Tests the probe on the real kernel, with two namespaces and a wire between them that the test cuts.

import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { type HeldNetns, holdNetns } from '../../support/held-netns.ts';
import { type Flow, startFlow } from './flow.ts';
import type { FlowEnd, FlowOptions } from './spec.ts';

let left: HeldNetns;
let right: HeldNetns;

beforeEach(async () => {
  [left, right] = await Promise.all([holdNetns(), holdNetns()]);
  onTestFinished(() => {
    left.remove();
    right.remove();
  });
  left.run('ip', 'link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', String(right.pid));
  for (const [netns, host] of [
    [left, 1],
    [right, 2],
  ] as const) {
    netns.run('ip', 'address', 'add', `10.1.1.${host}/24`, 'dev', 'wire');
    netns.run('ip', 'address', 'add', `fd00::${host}/64`, 'dev', 'wire', 'nodad');
    netns.run('ip', 'link', 'set', 'wire', 'up');
  }
});

const end = (netns: HeldNetns, ip: string): FlowEnd => ({ netnsFromOutside: netns.path, ip });

async function start(options: FlowOptions = {}, to = '10.1.1.2'): Promise<Flow> {
  const flow = await startFlow(end(left, '10.1.1.1'), end(right, to), options);
  onTestFinished(() => flow.abandon());
  return flow;
}

test('an undisturbed flow loses nothing, at about 1000 packets a second', async () => {
  const flow = await start();
  await sleep(500);
  const result = await flow.stop();
  expect(result).toMatchObject({ lost: 0, lostAtMost: 0, outages: [], refused: 0, wrongSource: 0 });
  expect(result.received).toBe(result.sent);
  expect(result.sent + result.unsent).toBe(Math.round(result.durationMs));
  expect(result.durationMs).toBeGreaterThan(500);
});

test('the same over IPv6, with a new port for each packet', async () => {
  const flow = await start({ freshPorts: true }, 'fd00::2');
  expect(await flow.stop()).toMatchObject({ lost: 0, refused: 0 });
});

test('a wire that is cut for a while makes one outage, and exactly its packets are lost', async () => {
  const flow = await start();
  right.run('ip', 'link', 'set', 'wire', 'down');
  await sleep(100);
  const cut = await flow.count(200);
  right.run('ip', 'link', 'set', 'wire', 'up');
  await flow.untilInRow(100, 5000);
  const result = await flow.stop();
  expect(cut.received).toBe(0);
  expect(cut.sent).toBeGreaterThan(0);
  expect(result.lost).toBeGreaterThan(cut.sent);
  expect(result.lost).toBe(result.outages.reduce((sum, { lost }) => sum + lost, 0));
  expect(result.longestLossMs).toBeGreaterThanOrEqual(200);
  expect(result.lostAtMost).toBeGreaterThanOrEqual(result.lost);
});

test('packets from an unexpected source count as lost', async () => {
  const flow = await start({ expectSource: '10.1.1.1' });
  left.run('ip', 'address', 'delete', '10.1.1.1/24', 'dev', 'wire');
  left.run('ip', 'address', 'add', '10.1.1.9/24', 'dev', 'wire');
  await sleep(100);
  expect((await flow.count(100)).received).toBe(0);
  const { wrongSource, lost } = await flow.stop();
  expect(wrongSource).toBeGreaterThan(100);
  expect(lost).toBeGreaterThanOrEqual(wrongSource);
});

test('a packet larger than the device allows is refused and not fragmented', async () => {
  const flow = await start({ payloadBytes: 1472 }); // 1500 = 1472 + 8 UDP + 20 IPv4
  left.run('ip', 'link', 'set', 'wire', 'mtu', '1400');
  await sleep(50);
  expect((await flow.count(100)).received).toBe(0);
  expect((await flow.stop()).refused).toBeGreaterThan(100);
});

test('a flow that reaches nobody is refused with a report of what became of its packets', async () => {
  right.run('ip', 'link', 'set', 'wire', 'down');
  const flow = startFlow(end(left, '10.1.1.1'), end(right, '10.1.1.2'), {}, 300);
  await expect(flow).rejects.toThrow(/^probe: run flow 10\.1\.1\.1 to 10\.1\.1\.2: ETIMEDOUT \(0 of \d+ arrived/);
});

test('a flow in a namespace that does not exist says so', async () => {
  const nowhere = { netnsFromOutside: '/proc/1/nowhere', ip: '10.1.1.1' };
  await expect(startFlow(nowhere, end(right, '10.1.1.2'))).rejects.toThrow(/nowhere: ENOENT/);
});
