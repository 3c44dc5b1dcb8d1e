// Nodes that run the previous release are upgraded to this build one after the other, and go back, under flows of 1000 packets a second in
// both directions. The agent installs its CNI executable, so pods that one version attached are detached by the other. Each test continues
// where the one before it ended.

import { mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { CNI_BIN_FOLDER } from '../lab/contract.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import type { LabPod } from '../lab/lab-pod.ts';
import { builtAgent, requireBuilt } from '../lab/programs.ts';
import { startFlow } from './probe/flow.ts';
import { queueDrops } from './probe/queue-drops.ts';

const TEST_MS = 120_000;
/** How often a change with losses is repeated, because a busy machine may have caused them. */
const TRIES = 3;

const previous = process.env['WEFT_PREVIOUS'] ?? '';
const folder = mkdtempSync(join(tmpdir(), 'weft-upgrade-'));
const current = join(folder, 'current');

let lab: Lab;
let nodes: readonly [LabNode, LabNode];
let pods: readonly [LabPod, LabPod];

/** Installs another version in the place from which all agents start. */
function install(version: string): void {
  symlinkSync(version, `${current}.new`);
  renameSync(`${current}.new`, current);
}

beforeAll(async () => {
  if (previous === '') throw new Error('WEFT_PREVIOUS is not set: npm run suite -- upgrade sets it');
  install(previous);
  const agent = { file: join(current, 'flanneld'), args: [`--cni-bin-dir=${CNI_BIN_FOLDER}`] };
  lab = await startLab({ nodes: 2, agent, pluginFolder: mkdtempSync(join(folder, 'none-')) });
  nodes = [lab.node('node-1'), lab.node('node-2')];
  pods = [await nodes[0].addPod(), await nodes[1].addPod()];
}, 120_000);
afterAll(async () => {
  await lab?.down();
  rmSync(folder, { recursive: true, force: true });
});

/** The version that this node's agent logged when it last started. */
function runningVersion(node: LabNode): string {
  const starts = node.agent.log().match(/"version":"[^"]+"/g) ?? [];
  return starts.at(-1) ?? '';
}

async function restart(node: LabNode): Promise<void> {
  await node.agent.stop();
  await node.agent.start();
  await node.agent.ready();
}

/** Packets of both flows that were lost beyond the machine's own drops. */
async function lossOf(what: string, body: () => Promise<void>): Promise<number> {
  const [one, other] = pods;
  const flows = [await startFlow(one, other), await startFlow(other, one)] as const;
  onTestFinished(async () => void (await Promise.all(flows.map((flow) => flow.abandon()))));
  const before = queueDrops();
  await body();
  const results = await Promise.all(flows.map((flow) => flow.stop()));
  const lost = results.reduce((sum, { lostAtMost }) => sum + lostAtMost, 0);
  const dropped = queueDrops() - before;
  process.stdout.write(`${what}: ${lost} packets lost (machine's drops ${dropped})\n`);
  return Math.max(0, lost - dropped);
}

/** Everything that must be the same in both versions. */
async function identity(node: LabNode): Promise<string> {
  const { stdout } = await node.exec([
    'sh',
    '-c',
    'ip -o link show flannel.1 | grep -o "link/ether [0-9a-f:]*"; cat /run/flannel/subnet.env',
  ]);
  return stdout;
}

async function everyPodReachesEveryOther(): Promise<void> {
  const pairs = await lab.matrix();
  expect(pairs.length).toBe(lab.pods.length * (lab.pods.length - 1));
  expect(pairs.filter(({ rttMs }) => rttMs === undefined)).toEqual([]);
}

describe.for([
  { name: 'upgraded', to: (): string => dirname(requireBuilt(builtAgent)) },
  { name: 'rolled back', to: (): string => previous },
  { name: 'upgraded again', to: (): string => dirname(requireBuilt(builtAgent)) },
])('nodes are $name', { timeout: TEST_MS * TRIES }, ({ name, to }) => {
  test('one after the other: no packet is lost, and leases, MACs and addresses stay', async () => {
    const before = { versions: nodes.map(runningVersion), identities: await Promise.all(nodes.map(identity)) };
    install(to());
    for (const node of nodes) {
      let lost = await lossOf(`${node.name} ${name}`, () => restart(node));
      for (let tries = 1; lost > 0 && tries < TRIES; tries += 1)
        lost = await lossOf(`${node.name} restarted`, () => restart(node));
      expect(lost).toBe(0);
      await everyPodReachesEveryOther();
    }
    expect(await Promise.all(nodes.map(identity))).toEqual(before.identities);
    const versions = nodes.map(runningVersion);
    for (const [at, version] of versions.entries()) expect(version).not.toBe(before.versions[at]);
  });

  test('and pods of either version are attached and detached', async () => {
    const fresh = await Promise.all(nodes.map((node) => node.addPod()));
    await everyPodReachesEveryOther();
    // One of the other version's pods is removed, and one of this version's stays for the next.
    const [old] = nodes[0].pods.filter((pod) => !fresh.includes(pod) && !pods.includes(pod));
    if (old !== undefined) await old.remove();
    await fresh[1]?.remove();
    await everyPodReachesEveryOther();
    const held = await nodes[0].run(['sh', '-c', 'ls /var/lib/cni/networks/cbr0 | grep -c "^10\\."']);
    expect(Number(held)).toBe(nodes[0].pods.length);
  });
});
