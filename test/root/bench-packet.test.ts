// The packet bench on a real lab: its points are in order, and a packet that is dropped is counted, not left out.

import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { measureRounds, type PodSample } from '../../bench/packet/rounds.ts';
import { spanTable } from '../../bench/packet/timeline.ts';
import { benchPacket } from '../../bench/packet.ts';
import { SUBNET_FILE } from '../lab/contract.ts';
import { startLab } from '../lab/lab.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { repositoryRoot } from '../lab/programs.ts';

const PODS = 3;

async function quickForm(): Promise<{ answered: boolean; shown: string; samples: PodSample[]; result: object }> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-packet-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const json = join(folder, 'packet.json');
  let shown = '';
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    shown += text;
    return true;
  });
  const options = { repository: repositoryRoot, quick: true, runs: PODS, json, peer: undefined, verbose: false };
  const answered = await benchPacket(options).finally(() => stdout.mockRestore());
  const result = JSON.parse(readFileSync(json, 'utf8'));
  return { answered, shown, samples: result.raw, result };
}

test('every pod is called, attached and reached, in that order, on one clock', async () => {
  const { answered, shown, samples, result } = await quickForm();
  expect(answered).toBe(true);
  expect(samples).toHaveLength(3 * PODS);
  for (const { kind, timeline, failure, sender } of samples) {
    const { t0 = Number.NaN, t5 = Number.NaN, t6 = Number.NaN, t7 = Number.NaN, t8 = Number.NaN } = timeline;
    expect(failure).toBeUndefined();
    expect(t0).toBeLessThanOrEqual(t5);
    if (kind === 'control') continue;
    expect(t0).toBeLessThan(t6);
    expect(t6).toBeLessThanOrEqual(t7);
    expect(t7).toBeLessThanOrEqual(t8);
    expect(sender?.sent).toBeGreaterThan(0);
  }
  expect(shown.match(/^T7−T0 .* 3$/gm)).toHaveLength(2);
  expect(shown).toMatch(/^ADD with ICMP sender by ADD without: /m);
  expect(result).toMatchObject({ question: 'packet', machine: { node: process.version }, failures: [] });
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

test('packets the tunnel drops are failures of their pods', async () => {
  const lab = await startLab({ nodes: 2 });
  onTestFinished(() => lab.down());
  const [node, other] = [lab.node('node-1'), lab.node('node-2')];
  const target = await other.addPod();
  // It would put the entry back.
  await node.agent.kill();
  await forgetPeers(node);
  const samples = await measureRounds({ node, target, giveUpMs: 300 }, 1);
  expect(samples.map(({ kind, failure }) => ({ kind, failure }))).toEqual([
    { kind: 'control', failure: undefined },
    { kind: 'udp', failure: 'no packet was delivered' },
    { kind: 'icmp', failure: 'no packet was delivered' },
  ]);
  const timelines = samples.filter(({ kind }) => kind !== 'control').map(({ timeline }) => timeline);
  expect(spanTable('ms', timelines)).toMatch(/\n2 of 2 failed$/);
  for (const { kind, sender } of samples) if (kind !== 'control') expect(sender?.sent).toBeGreaterThan(10);
});

test('a pod whose ADD fails is a failure with the plugin’s words, and the others go on', async () => {
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
  for (const { failure } of samples.slice(0, 3)) expect(failure).toContain(SUBNET_FILE);
  expect(samples.slice(3).map(({ failure }) => failure)).toEqual([undefined, undefined, undefined]);
});

/** What each end of a measurement loads first: it collects garbage all the time. */
const COLLECTING = `
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
setInterval(() => collect(), 20).unref();
`;

test('a receiver hears of packets however often garbage is collected', async () => {
  const lab = await startLab({ nodes: 2 });
  onTestFinished(() => lab.down());
  const target = await lab.node('node-2').addPod();
  vi.stubEnv('NODE_OPTIONS', `--import=data:text/javascript,${encodeURIComponent(COLLECTING)}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  const samples = await measureRounds({ node: lab.node('node-1'), target, giveUpMs: 500 }, 2);
  expect(samples.map(({ failure }) => failure)).toEqual(samples.map(() => undefined));
});

test('a receiver that is gone ends the run instead of blaming the network', async () => {
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
