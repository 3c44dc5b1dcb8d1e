// The fast path on the kernel that runs this: with tcx links or filters of clsact, with conntrack built in or as a module. Before 5.18,
// and without BTF, packets go the classic way, and the agent says why.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { hasTcx } from '../../flanneld/fastpath/tcx-links.ts';
import { openPinned } from '../../lib/bpf/pin.ts';
import { closeFd, listDir } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { startFlow } from '../faults/probe/flow.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { builtAgent } from '../lab/programs.ts';
import {
  addTable,
  ask,
  counted,
  detachLink,
  linkPins,
  PINS,
  podsOf,
  serve,
  since,
  startFastLab,
  untilOff,
  untilOn,
} from '../support/fast-path.ts';
import { LOADER_RIGHTS, limitedAgent, loadFastPath } from '../support/limited-agent.ts';
import { needs } from '../support/needs.ts';

const LOOK_MS = 20_000;
const sys = openKoffiSyscalls();
const folder = mkdtempSync(`${tmpdir()}/weft-fast-path-`);
/** Where conntrack is a module, it is there only once somebody has used it. */
const isModule = (): boolean => existsSync('/sys/kernel/btf/nf_conntrack');
const [major = 0, minor = 0] = release().split('.').map(Number);
const hasFunctions = (major > 5 || (major === 5 && minor >= 18)) && existsSync('/sys/kernel/btf/vmlinux');

let lab: Lab;
let one: LabNode;
let two: LabNode;
/** What the loader said on each node. */
const loaded: string[] = [];

beforeAll(async () => {
  lab = await startFastLab({
    agentFile: limitedAgent(folder),
    prepare: async (node) => loaded.push(await loadFastPath(node, LOADER_RIGHTS)),
    isOn: hasFunctions,
  }).catch((error: Error) => {
    throw new Error(`${error.message}\nload-fast-path: ${loaded.join('\n')}`);
  });
  [one, two] = [lab.node('node-1'), lab.node('node-2')];
});
afterAll(async () => {
  await lab?.down();
  rmSync(folder, { recursive: true });
});

/** Takes every program of the node off its device, as somebody might who has the right. */
async function detachAll(node: LabNode): Promise<void> {
  if (!hasTcx(sys)) {
    for (const dev of await devices(node)) await node.run(['tc', 'qdisc', 'del', 'dev', dev, 'clsact']);
    return;
  }
  const path = node.pathFromOutside(PINS);
  for (const pin of linkPins(node)) {
    const fd = openPinned(sys, `${path}/${pin}`) ?? -1;
    detachLink(fd);
    closeFd(sys, fd);
  }
}

/** The devices that should have a program. */
async function devices(node: LabNode): Promise<string[]> {
  const ports = JSON.parse(await node.run(['ip', '-json', 'link', 'show', 'master', 'cni0'])) as { ifname: string }[];
  return ['flannel.1', ...ports.map(({ ifname }) => ifname)];
}

async function passesFast(): Promise<boolean> {
  const [a, c] = [podsOf(one)[0], podsOf(two)[0]];
  const before = [counted(one), counted(two)] as const;
  const flow = await startFlow(a, c, { freshPorts: true });
  await flow.untilInRow(100, LOOK_MS);
  const { lost, sent } = await flow.stop();
  expect(lost).toBe(0);
  return since(one, before[0], 'to-peer') >= sent && since(two, before[1], 'from-peer') >= sent;
}

describe('a kernel with conntrack’s functions', () => {
  beforeEach(() => needs.machine(hasFunctions, 'conntrack’s functions for programs, Linux 5.18'));

  test('the loader’s programs take the pods’ packets, for an agent without SYS_ADMIN', async () => {
    for (const line of loaded) expect(line).toBe(`fast path loaded: programs are in ${PINS}`);
    expect(await passesFast()).toBe(true);
  });

  test('it is off while a rule of somebody else filters, and then on again', async () => {
    await addTable(one, 'table ip stranger { chain f { type filter hook forward priority 10; counter accept; } }');
    await untilOff(one, /stranger/);
    await one.run(['nft', 'delete table ip stranger']);
    await untilOn(one);
    expect(await passesFast()).toBe(true);
  });

  test('programs that somebody detaches come back', async () => {
    await detachAll(one);
    await waitUntil(passesFast, LOOK_MS, 'the programs');
  });

  test('the next agent takes over the programs of a killed one', async () => {
    await one.agent.kill();
    expect(await passesFast()).toBe(true);
    await one.agent.start();
    await one.agent.ready();
    await untilOn(one);
    expect(await passesFast()).toBe(true);
  });

  test('without the loader the agent says which right it lacks, where conntrack is a module', async () => {
    await one.agent.stop();
    await one.run([process.execPath, builtAgent, 'cleanup', '--force']);
    expect(listDir(sys, one.pathFromOutside(PINS))).toBeUndefined();
    if (!hasTcx(sys)) expect(await one.run(['tc', 'qdisc', 'show'])).not.toContain('clsact');
    await one.agent.start();
    await one.agent.ready();
    if (isModule()) await untilOff(one, /this node has no fast path: .*EPERM \(it takes CAP_SYS_ADMIN/);
    else await untilOn(one);
  });
});

describe('a kernel without them', () => {
  beforeEach(() => needs.machine(!hasFunctions, 'a kernel without conntrack’s functions for programs'));

  test('pods are reached the classic way, and loader and agent say what is missing', async () => {
    const why = /bpf: find functions of nf_conntrack: ENOENT/;
    for (const line of loaded) expect(line).toMatch(why);
    await untilOff(one, why);
    const [a, c] = [podsOf(one)[0], podsOf(two)[0]];
    await serve(c);
    expect(await ask(a, 'tcp', c.ip)).toContain(c.name);
  });
});
