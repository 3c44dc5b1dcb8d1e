// The packet bench on a real lab: the points of the timeline are in order, and a dropped packet counts as a failure.

import { readFileSync, renameSync } from 'node:fs';
import { expect, onTestFinished, test, vi } from 'vitest';
import { measureRounds } from '../../bench/packet/packet-rounds.ts';
import { spanFigures } from '../../bench/packet/timeline.ts';
import { packetPart } from '../../bench/packet.ts';
import { figureOf } from '../../bench/result.ts';
import { SUBNET_FILE } from '../lab/contract.ts';
import { startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { repositoryRoot } from '../lab/programs.ts';

const PODS = 2;

test('every pod is called, attached and reached, in that order, on one clock', async () => {
  const options = { repository: repositoryRoot, quick: true, runs: PODS, peer: undefined };
  const seen: string[] = [];
  const step = (label: string, done: number, total: number): void => void seen.push(`${label} ${done} of ${total}`);
  const { figures, failures, notes, about } = await packetPart.measure(options, { step });
  expect(failures).toEqual([]);
  const samples = (key: string): readonly (number | null)[] => figureOf(figures, key).samples;
  for (const kind of ['udp', 'icmp']) {
    for (const span of ['T5-T0', 'T6-T0', 'T7-T6', 'T8-T7']) {
      expect(samples(`${kind}/${span}`)).toHaveLength(PODS);
      for (const value of samples(`${kind}/${span}`)) expect(value).toBeGreaterThanOrEqual(0);
    }
    samples(`${kind}/T7-T0`).forEach((value, pod) => {
      expect(value).toBeGreaterThanOrEqual(samples(`${kind}/T6-T0`)[pod] ?? Number.NaN);
    });
  }
  expect(samples('control/ADD')).toHaveLength(PODS);
  for (const value of samples('control/ADD')) expect(value).toBeGreaterThan(0);
  expect(samples('bare/udp/T7-T0')).toHaveLength(PODS);
  for (const cause of ['known', 'untracked', 'gateway', 'all']) expect(samples(`first/${cause}`)).not.toContain(null);
  expect(notes).toContainEqual(expect.stringMatching(/^ADD with ICMP sender by ADD without: /));
  expect(about?.['devices']).toContainEqual(expect.objectContaining({ ifname: 'flannel.1' }));
  expect(seen).toContainEqual(expect.stringMatching(/^packet: pods (\d+) of \1$/));
  if (notes.some((note) => note.startsWith('T1 to T4 are left out: '))) return;
  // Each segment is the difference between a time from the kernel's trace and one from our programs, or between two such times.
  for (const segment of ['T1-T0', 'T2-T1', 'T3-T2', 'T6-T3', 'T7-T6']) {
    expect(samples(`traced/${segment}`)).toHaveLength(PODS);
    for (const value of samples(`traced/${segment}`)) expect(value).toBeGreaterThanOrEqual(0);
  }
});

async function forgetPeers(node: LabNode): Promise<void> {
  const entries: { mac: string; dst: string }[] = JSON.parse(
    await node.run(['bridge', '-json', 'fdb', 'show', 'dev', 'flannel.1']),
  );
  expect(entries).toHaveLength(1);
  for (const { mac, dst } of entries) {
    await node.run(['bridge', 'fdb', 'delete', mac, 'dev', 'flannel.1', 'dst', dst]);
  }
}

test('packets that the tunnel drops count as failures of their pods', async () => {
  const lab = await startLab({ nodes: 2 });
  onTestFinished(() => lab.down());
  const [node, other] = [lab.node('node-1'), lab.node('node-2')];
  const target = await other.addPod();
  // The agent would put the entry back, so it is killed first.
  await node.agent.kill();
  await forgetPeers(node);
  const samples = await measureRounds({ node, target, giveUpMs: 300 }, 1);
  expect(samples.map(({ kind, failure }) => ({ kind, failure }))).toEqual([
    { kind: 'control', failure: undefined },
    { kind: 'udp', failure: 'no packet was delivered' },
    { kind: 'icmp', failure: 'no packet was delivered' },
  ]);
  const timelines = samples.filter(({ kind }) => kind !== 'control').map(({ timeline }) => timeline);
  expect(
    spanFigures({ key: 'all', name: 'all', role: 'detail' }, timelines).map((each) => each.samples),
  ).toContainEqual([null, null]);
  for (const { kind, sender } of samples) if (kind !== 'control') expect(sender?.sent).toBeGreaterThan(10);
});

test('a pod whose ADD fails counts as a failure with the plugin’s error, and the others go on', async () => {
  const lab = await startLab({ nodes: 2 });
  onTestFinished(() => lab.down());
  const [node, other] = [lab.node('node-1'), lab.node('node-2')];
  const target = await other.addPod();
  await node.agent.kill();
  await node.run(['mv', SUBNET_FILE, '/run/kept.env']);
  let seen = 0;
  const samples = await measureRounds({ node, target }, 2, () => {
    seen += 1;
    if (seen === 3) renameSync(node.pathFromOutside('/run/kept.env'), node.pathFromOutside(SUBNET_FILE));
  });
  expect(samples).toHaveLength(6);
  for (const { failure } of samples.slice(0, 3)) expect(failure).toContain(SUBNET_FILE);
  expect(samples.slice(3).map(({ failure }) => failure)).toEqual([undefined, undefined, undefined]);
});

/** A module that each end of a measurement loads first. It makes garbage collections happen all the time. */
const COLLECTING = `
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
setInterval(() => collect(), 20).unref();
`;

test('a receiver gets its packets, however often garbage is collected', async () => {
  const lab = await startLab({ nodes: 2 });
  onTestFinished(() => lab.down());
  const target = await lab.node('node-2').addPod();
  vi.stubEnv('NODE_OPTIONS', `--import=data:text/javascript,${encodeURIComponent(COLLECTING)}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  const samples = await measureRounds({ node: lab.node('node-1'), target }, 2);
  expect(samples.map(({ failure }) => failure)).toEqual(samples.map(() => undefined));
});

test('when a receiver is gone, the run ends and does not blame the network', async () => {
  const lab = await startLab({ nodes: 2 });
  onTestFinished(() => lab.down());
  const target = await lab.node('node-2').addPod();
  const program = `/packet-end.mjs {"role":"receive","protocol":"udp"}`;
  const run = measureRounds({ node: lab.node('node-1'), target, giveUpMs: 300 }, 50, () => {
    for (const pid of ownChildren()) {
      if (readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').includes(program))
        process.kill(pid, 'SIGKILL');
    }
  });
  await expect(run).rejects.toThrow(/^an end of the measurement has ended/);
});

const ownChildren = (): number[] =>
  readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);
