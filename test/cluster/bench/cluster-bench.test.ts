// `npm run bench -- cluster` on kubelets of the lab: with Weft, then with flannel in a cluster of its own, by the same pods; and what is
// left of it. Each test continues where the one before it ended.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { MeasuredPart, RunResult } from '../../../bench/run-result.ts';
import { waitUntil } from '../../lab/processes.ts';
import { Background } from '../../support/background.ts';
import { needs } from '../../support/needs.ts';
import { apply } from '../kubelet/api.ts';
import { KubeCluster } from '../kubelet/cluster.ts';
import {
  applyFlannel,
  type FlannelCluster,
  missingForFlannel,
  startFlannelCluster,
  untilFlannelRuns,
} from '../kubelet/flannel-cluster.ts';
import { untilNodesAreReady, untilRolledOut } from '../kubelet/scene.ts';
import { agentContainer, readObjects, repository } from '../manifests/documents.ts';

const TEST_MS = 600_000;
/** The driver waits a minute for a heartbeat that does not come. */
const ORPHAN_MS = 150_000;
const image = agentContainer(readObjects('weft.yml')).image;
const KEYS = [
  'cluster/firstPacketMs',
  'cluster/sandboxMs',
  'cluster/oneWayMs',
  'cluster/upMs',
  'cluster/goneMs',
  ...['pod-near', 'pod-far', 'service', 'host'].flatMap((path) => [`cluster/tcp/${path}`, `cluster/udp/${path}`]),
];

let out: string;
beforeAll(() => {
  out = mkdtempSync(join(tmpdir(), 'weft-bench-cluster-'));
});
afterAll(() => rmSync(out, { recursive: true, force: true }));
beforeEach(() => needs.machine(missingForFlannel === '', missingForFlannel));

function startBench(cluster: KubeCluster, name: string, ...more: string[]): Background {
  const script = [process.execPath, join(repository, 'scripts/npm-script.mjs'), 'bench', 'cluster', '--quick'] as const;
  const place = [`--kubeconfig=${cluster.server.adminKubeconfig}`, `--out=${join(out, name)}`];
  return new Background([...script, ...place, '--churn=6', ...more]);
}

async function bench(cluster: KubeCluster, name: string, ...more: string[]): Promise<MeasuredPart> {
  const run = startBench(cluster, name, ...more);
  while (!run.hasEnded) await sleep(200);
  process.stdout.write(`${run.output}\n`);
  expect(run.exitCode, run.output).toBe(0);
  const result = JSON.parse(readFileSync(join(out, name, 'result.json'), 'utf8')) as RunResult;
  expect(existsSync(join(out, name, 'result.html'))).toBe(true);
  const [part] = result.parts;
  if (part === undefined) throw new Error('no part in the result');
  return part;
}

function expectWhole(part: MeasuredPart): void {
  expect(part.failures).toEqual([]);
  expect(part.figures.map(({ key }) => key)).toEqual(expect.arrayContaining(KEYS));
  for (const { key, samples } of part.figures) {
    expect(
      samples.filter((sample) => sample === null),
      key,
    ).toEqual([]);
    expect(
      samples.every((sample) => (sample ?? 0) > (key === 'cluster/oneWayMs' ? -1 : 0)),
      `${key}: ${samples}`,
    ).toBe(true);
  }
  const median = (key: string): number =>
    part.figures.find((one) => one.key === key)?.samples.toSorted((a, b) => (a ?? 0) - (b ?? 0))[1] ?? 0;
  // A sandbox is made before its first packet is sent.
  expect(median('cluster/sandboxMs')).toBeLessThan(median('cluster/firstPacketMs'));
}

/** Sends a signal to the program that measures, because npm's launcher would not pass it on. */
function signalBench(name: string, signal: NodeJS.Signals): void {
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  for (const pid of pids) {
    const words = readCommand(pid);
    if (words.some((word) => word.endsWith('dist/bench/main.mjs')) && words.includes(`--out=${join(out, name)}`))
      process.kill(Number(pid), signal);
  }
}

function readCommand(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** The bench's objects in the cluster. */
async function left(cluster: KubeCluster): Promise<string[]> {
  const paths = [
    '/api/v1/namespaces',
    '/apis/rbac.authorization.k8s.io/v1/clusterroles',
    '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  ];
  const lists = await Promise.all(
    paths.map(async (path) => (await cluster.server.must({ path })).body['items'] as { metadata: { name: string } }[]),
  );
  return lists
    .flat()
    .map(({ metadata }) => metadata.name)
    .filter((name) => name.startsWith('weft-bench'));
}

/** The images of the bench's pods, while it runs. */
async function imagesOfBench(cluster: KubeCluster): Promise<Set<string>> {
  const { body } = await cluster.server.must({ path: '/api/v1/pods' });
  const pods = body['items'] as { metadata: { namespace: string }; spec: { containers: { image: string }[] } }[];
  const own = pods.filter(({ metadata }) => metadata.namespace.startsWith('weft-bench'));
  return new Set(own.flatMap(({ spec }) => spec.containers.map((container) => container.image)));
}

describe('npm run bench -- cluster with Weft', { timeout: TEST_MS }, () => {
  let cluster: KubeCluster;
  beforeAll(async () => {
    if (missingForFlannel !== '') return;
    cluster = await KubeCluster.start({ nodes: 2, hasServices: true });
    await Promise.all(cluster.lab.nodes.map((node) => cluster.startKubelet(node)));
    await apply(cluster.server, readObjects('weft.yml'));
    await untilRolledOut(cluster, 'weft', 'weft');
    await untilNodesAreReady(cluster);
  }, 240_000);
  afterAll(() => cluster?.stop());

  test('measures all of it with the image of the agents, and leaves nothing', async () => {
    const part = await bench(cluster, 'weft');
    expectWhole(part);
    expect(part.about?.['network']).toBe(`weft/weft (${image})`);
    expect(part.notes.join('\n')).toContain('clocks compared');
    await waitUntil(async () => (await left(cluster)).length === 0, 60_000, 'the end of the namespace');
  });

  test('that is killed is removed by its driver in the cluster, and no other image was pulled', async () => {
    const run = startBench(cluster, 'killed', '--runs=1000');
    let images = new Set<string>();
    const drives = async (): Promise<boolean> => {
      images = await imagesOfBench(cluster);
      return run.output.includes('new pods');
    };
    await waitUntil(drives, 240_000, 'the driver');
    expect(images).toEqual(new Set([image]));
    await run.stop();
    // The launcher is gone. It has not passed the signal on, so the program that it started still runs.
    signalBench('killed', 'SIGKILL');
    expect((await left(cluster)).length).toBeGreaterThan(0);
    await waitUntil(async () => (await left(cluster)).length === 0, ORPHAN_MS, 'what the driver removes');
  });

  test('that is interrupted removes everything itself', async () => {
    const run = startBench(cluster, 'interrupted', '--runs=1000');
    await waitUntil(() => Promise.resolve(run.output.includes('new pods')), 240_000, 'the driver');

    signalBench('interrupted', 'SIGINT');
    await waitUntil(async () => (await left(cluster)).length === 0, 60_000, 'the end of the namespace');
    await waitUntil(() => Promise.resolve(run.hasEnded), 30_000, 'the end of the bench');
    expect(run.exitCode).not.toBe(0);
  });
});

describe('npm run bench -- cluster with flannel', { timeout: TEST_MS }, () => {
  let site: FlannelCluster;
  beforeAll(async () => {
    if (missingForFlannel !== '') return;
    site = await startFlannelCluster(2, { hasServices: true });
    await applyFlannel(site.cluster);
    await untilFlannelRuns(site.cluster);
  }, 240_000);
  afterAll(() => site?.stop());

  test('measures it by the same pods, and compare judges the two', async () => {
    const part = await bench(site.cluster, 'flannel', `--image=${image}`);
    expectWhole(part);
    expect(part.about?.['network']).toContain('kube-flannel/kube-flannel-ds');
    const files = ['flannel', 'weft'].map((name) => join(out, name, 'result.json'));
    const run = new Background([
      process.execPath,
      join(repository, 'scripts/npm-script.mjs'),
      'bench',
      'cluster',
      '--compare',
      ...files,
    ]);
    while (!run.hasEnded) await sleep(100);
    process.stdout.write(`${run.output}\n`);
    expect([0, 1]).toContain(run.exitCode);
    expect(run.output).toMatch(/pod networks: kube-flannel\S* .* before, weft\/weft .* after/);
    for (const key of ['firstPacketMs', 'tcp/pod-far']) expect(run.output).toContain(`cluster/${key}`);
  });
});
