// The agent is killed before every system call by which it changes the fast path, both when it makes it and when it removes it. A flow
// between pods of two nodes loses no packet, and the next agent turns the fast path on again.

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Flow, startFlow } from '../faults/probe/flow.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { addTable, PINS, podsOf, startFastLab, untilOff, untilOn } from '../support/fast-path.ts';
import { slowed } from '../support/slowness.ts';

const LIMIT_MS = slowed(900_000);
const END_MS = 20_000;
const KILL_FILE = '/run/lab/kill-at';
const STRANGER = 'table ip stranger { chain f { type filter hook forward priority 10; counter accept; } }';
const preload = join(import.meta.dirname, '../support/killed-at.cjs');

let lab: Lab;
let one: LabNode;
let flow: Flow;
beforeAll(async () => {
  lab = await startFastLab({ agentEnv: { NODE_OPTIONS: `--require=${preload}`, KILL_FILE } });
  one = lab.node('node-1');
});
afterAll(async () => {
  await flow?.abandon();
  await lab?.down();
});
beforeEach(async () => {
  await flow?.abandon();
  flow = await startFlow(podsOf(one)[0], podsOf(lab.node('node-2'))[0], { rateHz: 1000, freshPorts: true });
});

const counted = (): number => Number(one.readFile(`${KILL_FILE}.count`));
const isRunning = async (): Promise<boolean> => (await one.agent.state()).running;

async function untilKilled(call: number): Promise<void> {
  await waitUntil(async () => !(await isRunning()), END_MS, `the end before call ${call}`);
  expect((await one.agent.state()).signal).toBe('SIGKILL');
  expect(existsSync(one.pathFromOutside(KILL_FILE))).toBe(true);
}

/** Starts an agent that is not killed. */
async function startForGood(): Promise<void> {
  rmSync(one.pathFromOutside(KILL_FILE), { force: true });
  if (!(await isRunning())) await one.agent.start();
  await one.agent.ready();
  await untilOn(one);
}

async function takeAway(): Promise<void> {
  await one.agent.stop();
  await one.run(['sh', '-c', `rm -rf ${PINS}/* ${PINS}`]);
}

test('while it makes everything', { timeout: LIMIT_MS }, async () => {
  await takeAway();
  await startForGood();
  const calls = counted();
  expect(calls).toBeGreaterThan(20);
  for (let call = 1; call <= calls; call++) {
    await takeAway();
    one.writeFile(KILL_FILE, String(call));
    await one.agent.start();
    await untilKilled(call);
    await startForGood();
  }
  const { lost, sent } = await flow.stop();
  expect(lost).toBe(0);
  expect(sent).toBeGreaterThan(1000);
});

test('while it removes everything because of a policy', { timeout: LIMIT_MS }, async () => {
  await startForGood();
  const before = counted();
  await addTable(one, STRANGER);
  await untilOff(one, /stranger/);
  const calls = counted() - before;
  await one.run(['nft', 'delete table ip stranger']);
  expect(calls).toBeGreaterThan(5);
  for (let call = 1; call <= calls; call++) {
    await untilOn(one);
    // The calls include the heartbeat, which comes at any time, so that now and then one call is tried twice.
    one.writeFile(KILL_FILE, String(counted() + call));
    await addTable(one, STRANGER);
    await untilKilled(call);
    await one.run(['nft', 'delete table ip stranger']);
    await startForGood();
  }
  expect((await flow.stop()).lost).toBe(0);
});
