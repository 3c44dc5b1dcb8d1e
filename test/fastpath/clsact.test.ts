// Before Linux 6.6 programs are attached as filters of clsact. A flow loses no packet there either when the fast path is switched off and on,
// and when an agent is killed and another one takes over. test/support/no-tcx.cjs makes this machine's kernel such a one to the agents.

import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { allowFor } from '../../flanneld/fastpath/programs/deadline.ts';
import { stateMap } from '../../flanneld/fastpath/programs/layout.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { type Flow, startFlow } from '../faults/probe/flow.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { addTable, counted, podsOf, since, startFastLab, untilFull, untilOff, withPin } from '../support/fast-path.ts';
import { slowed } from '../support/slowness.ts';

const NODE_OPTIONS = `--require=${join(import.meta.dirname, '../support/no-tcx.cjs')}`;
const STRANGER = 'table ip stranger { chain f { type filter hook forward priority 10; counter accept; } }';
const SWITCHES = 5;
const LOOK_MS = 20_000;
const LIMIT_MS = slowed(300_000);
const sys = openKoffiSyscalls();

let lab: Lab;
let one: LabNode;
let flow: Flow;
beforeAll(async () => {
  lab = await startFastLab({ mode: 'full', agentEnv: { NODE_OPTIONS } });
  one = lab.node('node-1');
  for (const node of lab.nodes) await untilFull(node);
});
afterAll(() => lab?.down());
beforeEach(async () => {
  flow = await startFlow(podsOf(one)[0], podsOf(lab.node('node-2'))[0], { rateHz: 3000, freshPorts: true });
});
afterEach(() => flow.abandon());

async function nothingIsLost(): Promise<void> {
  const result = await flow.stop();
  expect(result.lost, JSON.stringify(result)).toBe(0);
}

/** The devices whose hook has a filter, each with whether it is an idle one. */
async function filters(): Promise<{ dev: string; isIdle: boolean }[]> {
  const qdiscs = JSON.parse(await one.run(['tc', '-json', 'qdisc', 'show'])) as { kind: string; dev: string }[];
  const hooked = qdiscs.filter(({ kind }) => kind === 'clsact');
  return await Promise.all(
    hooked.map(async ({ dev }) => {
      const text = await one.run(['tc', 'filter', 'show', 'dev', dev, 'ingress']);
      expect(text).toMatch(/pref 22496 bpf .* direct-action/);
      return { dev, isIdle: text.includes('bytecode') };
    }),
  );
}

test('switching it off and on again because of rules of others loses nothing', { timeout: LIMIT_MS }, async () => {
  const before = counted(one);
  const attached = await filters();
  expect(attached.map(({ dev }) => dev)).toEqual(expect.arrayContaining(['eth0', 'flannel.1']));
  for (let count = 0; count < SWITCHES; count++) {
    await addTable(one, STRANGER);
    await untilOff(one, /stranger/);
    expect(await filters()).toEqual(attached.map(({ dev }) => ({ dev, isIdle: true })));
    await one.run(['nft', 'delete table ip stranger']);
    await untilFull(one);
  }
  expect(await filters()).toEqual(attached);
  await nothingIsLost();
  expect(since(one, before, 'encapsulated')).toBeGreaterThan(1000);
});

test('a killed agent costs nothing, and neither does the next one that takes over', { timeout: LIMIT_MS }, async () => {
  // The kernel has given the device a longer queue when it got its hook. To change it back would make the kernel drop packets.
  const queue = async () => /qlen \d+/.exec(await one.run(['ip', 'link', 'show', 'flannel.1']))?.[0];
  expect(await queue()).toBe('qlen 1000');
  for (let kill = 0; kill < SWITCHES; kill++) {
    await one.agent.kill();
    // As after ten seconds without an agent.
    withPin(one, 'state', (fd) => allowFor(sys, { fd, spec: stateMap }, 0));
    const before = counted(one);
    await waitUntil(() => since(one, before, 'paused') > 300, LOOK_MS, 'packets on the classic way');
    await one.agent.start();
    await one.agent.ready();
    await untilFull(one);
    await waitUntil(() => since(one, before, 'encapsulated') > 300, LOOK_MS, 'packets on the fast path');
  }
  expect(await queue()).toBe('qlen 1000');
  await nothingIsLost();
});

test('cleanup removes the filters with their hooks', async () => {
  await one.agent.stop();
  const environment = { PATH: process.env['PATH'] ?? '', NODE_OPTIONS };
  const { stdout } = await one.exec([process.execPath, builtAgent, 'cleanup', '--force'], { env: environment });
  expect(stdout).toMatch(/program of the fast path at ingress of if\d+/);
  expect(await one.run(['tc', 'qdisc', 'show'])).not.toContain('clsact');
});
