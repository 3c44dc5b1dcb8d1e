// A flow of 3000 packets a second loses no packet when the fast path is switched off and on, and when the agent is killed, stopped and
// started again.

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Flow, startFlow } from '../faults/probe/flow.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { addTable, counted, podsOf, since, startFastLab, untilOff, untilOn } from '../support/fast-path.ts';
import { slowed } from '../support/slowness.ts';

const STRANGER = 'table ip stranger { chain f { type filter hook forward priority 10; counter accept; } }';
const STRICT = 'table ip kube-proxy { chain strict { type filter hook forward priority 0; ct state invalid drop; } }';
const SWITCHES = 5;
const LIMIT_MS = slowed(300_000);

let lab: Lab;
let one: LabNode;
let two: LabNode;
let flow: Flow;
beforeAll(async () => {
  lab = await startFastLab();
  [one, two] = [lab.node('node-1'), lab.node('node-2')];
  for (const node of lab.nodes) await addTable(node, STRICT);
  for (const node of lab.nodes) await untilOn(node);
});
afterAll(() => lab?.down());
beforeEach(async () => {
  // New ports for each packet, because a tracked connection would keep the whole flow on the classic way.
  flow = await startFlow(podsOf(one)[0], podsOf(two)[0], { rateHz: 3000, freshPorts: true });
});
afterEach(() => flow.abandon());

test('switching it off and on again because of rules of others loses nothing', { timeout: LIMIT_MS }, async () => {
  const before = counted(one);
  for (let count = 0; count < SWITCHES; count++) {
    await addTable(one, STRANGER);
    await untilOff(one, /stranger/);
    await one.run(['nft', 'delete table ip stranger']);
    await untilOn(one);
  }
  const { lost, sent } = await flow.stop();
  expect(lost).toBe(0);
  expect(sent).toBeGreaterThan(1000);
  expect(since(one, before, 'to-peer')).toBeGreaterThan(1000);
});

test('a killed agent costs nothing: packets go on by the fast path, then by the classic way, and the next agent takes over', async () => {
  const before = counted(one);
  await one.agent.kill();
  await flow.untilInRow(3000, 20_000);
  expect(since(one, before, 'to-peer')).toBeGreaterThan(1000);
  await waitUntil(() => since(one, before, 'paused') > 1000, 30_000, 'the programs to pause');
  const paused = counted(one);
  await flow.untilInRow(3000, 20_000);
  expect(since(one, paused, 'to-peer')).toBe(0);
  await one.agent.start();
  await one.agent.ready();
  await untilOn(one);
  await waitUntil(() => since(one, paused, 'to-peer') > 1000, 20_000, 'the fast path again');
  expect((await flow.stop()).lost).toBe(0);
});

test('an agent that is stopped and started soon loses nothing', async () => {
  const before = counted(one);
  await one.agent.stop();
  await one.agent.start();
  await one.agent.ready();
  await untilOn(one);
  await flow.untilInRow(3000, 20_000);
  expect((await flow.stop()).lost).toBe(0);
  expect(since(one, before, 'to-peer')).toBeGreaterThan(1000);
});
