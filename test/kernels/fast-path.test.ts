// The fast path of two whole nodes on this machine's kernel, as `full` and as `redirect`: with tcx links or filters of clsact, with
// conntrack built in or as a module. Before 5.18, and without BTF, packets go the classic way, and the agent says why.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { hasTcx } from '../../flanneld/fastpath/tcx-links.ts';
import { listDir } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { type Flow, startFlow } from '../faults/probe/flow.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import { hasConntrackFunctions, needConntrackFunctions } from '../support/conntrack-functions.ts';
import {
  addTable,
  ask,
  counted,
  detachAll,
  INPUT_RULE,
  PINS,
  podsOf,
  serve,
  since,
  startFastLab,
  untilFull,
  untilOff,
  untilRedirect,
} from '../support/fast-path.ts';
import { LOADER_RIGHTS, limitedAgent, loadFastPath } from '../support/limited-agent.ts';
import { needs } from '../support/needs.ts';

const LOOK_MS = 20_000;
/** A thousand packets a second are more than an emulated processor sends, forwards and receives. */
const FLOW = { freshPorts: true, rateHz: 100 };
const sys = openKoffiSyscalls();
const folder = mkdtempSync(`${tmpdir()}/weft-fast-path-`);
/** Where conntrack is a module, it is loaded only once something has used it. */
const isModule = (): boolean => existsSync('/sys/kernel/btf/nf_conntrack');

let lab: Lab;
let one: LabNode;
let two: LabNode;
/** The loader's output on each node. */
const loaded: string[] = [];

beforeAll(async () => {
  lab = await startFastLab({
    mode: 'full',
    agentFile: limitedAgent(folder),
    prepare: async (node) => loaded.push(await loadFastPath(node, LOADER_RIGHTS)),
    isOn: hasConntrackFunctions,
  }).catch((error: Error) => {
    throw new Error(`${error.message}\nload-fast-path: ${loaded.join('\n')}`);
  });
  [one, two] = [lab.node('node-1'), lab.node('node-2')];
  for (const node of lab.nodes) if (hasConntrackFunctions) await untilFull(node);
});
afterAll(async () => {
  await lab?.down();
  rmSync(folder, { recursive: true });
});

/** The devices that should have a program. */
async function devices(node: LabNode): Promise<string[]> {
  const ports = JSON.parse(await node.run(['ip', '-json', 'link', 'show', 'master', 'cni0'])) as { ifname: string }[];
  return ['flannel.1', 'eth0', ...ports.map(({ ifname }) => ifname)];
}

/** The programs' counters at the sender and at the receiver. */
const COUNTED = { full: ['encapsulated', 'decapsulated'], redirect: ['to-peer', 'from-peer'] } as const;

/** Ends a flow, of which no packet may be lost, and returns how many were sent. */
async function stoppedWhole(flow: Flow): Promise<number> {
  const result = await flow.stop();
  expect(result.lost, JSON.stringify(result)).toBe(0);
  return result.sent;
}

/** Whether all packets of a flow between the nodes take that way. None may be lost in any case. */
async function passes(way: keyof typeof COUNTED): Promise<boolean> {
  const [a, c] = [podsOf(one)[0], podsOf(two)[0]];
  const before = [counted(one), counted(two)] as const;
  const flow = await startFlow(a, c, FLOW);
  await flow.untilInRow(100, LOOK_MS);
  const sent = await stoppedWhole(flow);
  const [leaving, arriving] = COUNTED[way];
  return since(one, before[0], leaving) >= sent && since(two, before[1], arriving) >= sent;
}

describe('a kernel with conntrack’s functions', () => {
  beforeEach(needConntrackFunctions);

  test('the loader’s programs take the pods’ packets, for an agent without SYS_ADMIN', async () => {
    for (const line of loaded) expect(line).toBe(`fast path loaded: programs are in ${PINS}`);
    expect(await passes('full')).toBe(true);
  });

  test('while a rule may match the tunnel’s packets, programs redirect, and the tunnel’s device encapsulates', async () => {
    for (const node of lab.nodes) await addTable(node, INPUT_RULE);
    for (const node of lab.nodes) await untilRedirect(node, /nftables chain inet admin input/);
    expect(await passes('redirect')).toBe(true);
    for (const node of lab.nodes) await node.run(['nft', 'delete table inet admin']);
    for (const node of lab.nodes) await untilFull(node);
    expect(await passes('full')).toBe(true);
  });

  test('it is off while a rule of somebody else filters, and then on again', async () => {
    await addTable(one, 'table ip stranger { chain f { type filter hook forward priority 10; counter accept; } }');
    await untilOff(one, /stranger/);
    await one.run(['nft', 'delete table ip stranger']);
    await untilFull(one);
    expect(await passes('full')).toBe(true);
  });

  test('programs that somebody detaches come back', async () => {
    await detachAll(one, await devices(one));
    await waitUntil(() => passes('full'), LOOK_MS, 'the programs');
  });

  test('the programs go on without the agent, and the next one takes them over', async () => {
    // The flow is started early, because on an emulated processor this takes long.
    const flow = await startFlow(podsOf(one)[0], podsOf(two)[0], FLOW);
    onTestFinished(() => flow.abandon());
    await one.agent.kill();
    const before = counted(one);
    // Packets in a row would not do: those that arrived before the agent died are among them.
    await waitUntil(() => since(one, before, 'encapsulated') > 50, LOOK_MS, 'packets that programs encapsulate alone');
    await one.agent.start();
    await one.agent.ready();
    await untilFull(one);
    await stoppedWhole(flow);
    expect(await passes('full')).toBe(true);
  });

  test('without the loader the agent says which right it lacks, where conntrack is a module', async () => {
    await one.agent.stop();
    await one.run([process.execPath, builtAgent, 'cleanup', '--force']);
    expect(listDir(sys, one.pathFromOutside(PINS))).toBeUndefined();
    if (!hasTcx(sys)) expect(await one.run(['tc', 'qdisc', 'show'])).not.toContain('clsact');
    await one.agent.start();
    await one.agent.ready();
    if (isModule()) await untilOff(one, /this node has no fast path: .*EPERM \(it takes CAP_SYS_ADMIN/);
    else await untilFull(one);
  });
});

describe('a kernel without them', () => {
  beforeEach(() => needs.machine(!hasConntrackFunctions, 'a kernel without conntrack’s functions for programs'));

  test('pods are reached the classic way, and loader and agent say what is missing', async () => {
    const why = /bpf: find functions of nf_conntrack: ENOENT/;
    for (const line of loaded) expect(line).toMatch(why);
    await untilOff(one, why);
    const [a, c] = [podsOf(one)[0], podsOf(two)[0]];
    await serve(c);
    expect(await ask(a, 'tcp', c.ip)).toContain(c.name);
  });
});
