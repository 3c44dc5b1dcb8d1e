// Replaces flannel's DaemonSet by Weft's with one `kubectl apply -k`, and Weft's by flannel's with one `kubectl apply`, as
// manifests/README.md describes, under a flow of 1000 packets a second between pods that stay. The tests run in order: each
// continues where the one before it ended.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { startFlow } from '../../faults/probe/flow.ts';
import { queueDrops } from '../../faults/probe/queue-drops.ts';
import { classicConflist } from '../../lab/node-spec.ts';
import { findServer } from '../../support/background.ts';
import { FLANNEL_IMAGE, flannelObjects } from '../../support/flannel-objects.ts';
import { needs } from '../../support/needs.ts';
import { IMAGE } from '../containerd/image.ts';
import { type NodeState, stateOf } from '../interop/node-state.ts';
import { CHAIN, findChain, findFlanneld, missingPrograms } from '../interop/programs.ts';
import { manifests, readObjects } from '../manifests/documents.ts';
import { createDaemonSet, createDeployment, listPods, type PodObject, scale } from './api.ts';
import { KubeCluster, missingServers } from './cluster.ts';
import { writeFlannelImage } from './images.ts';
import { failedPairs, flowEnd, untilNodesAreReady, untilReady, untilRolledOut } from './scene.ts';

const NODES = 2;
const TEST_MS = 150_000;
const NAMESPACE = 'kube-flannel';
const DAEMON_SET = 'kube-flannel-ds';
const selector = { app: 'flannel', 'k8s-app': 'flannel' };
const config = {
  'cni-conf.json': JSON.stringify(classicConflist),
  'net-conf.json': JSON.stringify({ Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } }),
};
const kubectl = findServer('kubectl');
const missing = [
  ...missingServers(),
  missingPrograms(process.env),
  kubectl === undefined ? 'kubectl on PATH' : undefined,
]
  .filter((each) => each !== undefined)
  .join(', ');

let cluster: KubeCluster;
let folder: string;
const asFlannelHadIt = new Map<string, NodeState>();

beforeAll(async () => {
  if (missing !== '') return;
  folder = mkdtempSync(join(tmpdir(), 'weft-replace-'));
  const chain = findChain(process.env) ?? '';
  for (const name of CHAIN.filter((each) => each !== 'flannel')) cpSync(join(chain, name), join(folder, name));
  cluster = await KubeCluster.start({
    nodes: NODES,
    pluginFolder: folder,
    putImages: (where) => {
      const file = join(where, 'flannel.tar');
      writeFlannelImage(file, FLANNEL_IMAGE, findFlanneld() ?? '', join(chain, 'flannel'));
      return [file];
    },
  });
  await Promise.all(cluster.lab.nodes.map((node) => cluster.startKubelet(node)));
}, 180_000);
afterAll(async () => {
  await cluster?.stop();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => needs.machine(missing === '', missing));

function apply(args: readonly string[], input = ''): void {
  const all = [`--kubeconfig=${cluster.server.adminKubeconfig}`, 'apply', ...args];
  execFileSync(kubectl ?? 'kubectl', all, { input, stdio: ['pipe', 'pipe', 'pipe'] });
}

function applyFlannel(): void {
  const texts = flannelObjects({ selector, config }).map((object) => stringify(object));
  apply(['--filename=-'], texts.join('---\n'));
}

/**
 * Runs `body` under a flow in both directions. Resolves with the number of lost packets, without those that the machine's own
 * queues dropped.
 */
async function lossOf(what: string, body: () => Promise<void>): Promise<number> {
  const [from, to] = (await listPods(cluster.server, 'stays')) as [PodObject, PodObject];
  const ends = [await flowEnd(cluster, from), await flowEnd(cluster, to)] as const;
  const flows = [await startFlow(ends[0], ends[1]), await startFlow(ends[1], ends[0])];
  onTestFinished(async () => {
    for (const flow of flows) await flow.abandon();
  });
  const before = queueDrops();
  await body();
  const results = [await flows[0]?.stop(), await flows[1]?.stop()];
  const dropped = queueDrops() - before;
  const sum = (key: 'lostAtMost' | 'sent'): number =>
    results.reduce((total, result) => total + (result?.[key] ?? 0), 0);
  process.stdout.write(`${what}: ${sum('lostAtMost')} of ${sum('sent')} packets lost (machine’s drops ${dropped})\n`);
  return Math.max(0, sum('lostAtMost') - dropped);
}

async function addressesOf(app: string): Promise<string[]> {
  return (await listPods(cluster.server, app)).map(({ metadata, status }) => `${metadata.name} ${status.podIP}`).sort();
}

/** Replaces the pods by four new ones in the same subnets, which the currently installed plugin attaches. */
async function renewMany(): Promise<void> {
  await scale(cluster.server, 'many', 0);
  await untilReady(cluster, 'many', 0);
  await scale(cluster.server, 'many', 4);
  const pods = await untilReady(cluster, 'many', 4);
  expect(await failedPairs(cluster, [...pods, ...(await listPods(cluster.server, 'stays'))])).toEqual([]);
}

function sorted(state: NodeState | undefined): object {
  return { ...state, rules: state?.rules.toSorted() };
}

describe('flannel’s DaemonSet on kubelets', { timeout: TEST_MS }, () => {
  test('runs, and its pods reach each other', async () => {
    applyFlannel();
    await untilRolledOut(cluster, NAMESPACE, DAEMON_SET);
    await untilNodesAreReady(cluster);
    await createDaemonSet(cluster.server, 'stays', IMAGE);
    await createDeployment(cluster.server, 'many', IMAGE, 4);
    const pods = [...(await untilReady(cluster, 'stays', NODES)), ...(await untilReady(cluster, 'many', 4))];
    expect(await failedPairs(cluster, pods)).toEqual([]);
    for (const node of cluster.lab.nodes) asFlannelHadIt.set(node.name, await stateOf(node));
  });

  test('is replaced by Weft’s with one command: no packet is lost, pods stay, and new pods reach them', async () => {
    const before = await addressesOf('stays');
    const lost = await lossOf('flannel to Weft', async () => {
      apply([`--kustomize=${manifests}/kustomize/overlays/replace-flannel-release`]);
      await untilRolledOut(cluster, NAMESPACE, DAEMON_SET);
    });
    expect(lost).toBe(0);
    expect(await addressesOf('stays')).toEqual(before);
    for (const node of cluster.lab.nodes) {
      const { rules, routes } = await stateOf(node);
      expect(rules.filter((line) => /flannel-ipv|FLANNEL-/.test(line))).toEqual([]);
      expect(rules).toContain('table ip weft {');
      expect(routes.filter((line) => !/proto (138|kernel)/.test(line))).toEqual([]);
    }
    await renewMany();
  });

  test('is put back with one command, and cleanup.yml leaves the nodes as they were', async () => {
    const before = await addressesOf('stays');
    await lossOf('Weft to flannel', async () => {
      applyFlannel();
      await untilRolledOut(cluster, NAMESPACE, DAEMON_SET);
    });
    expect(await addressesOf('stays')).toEqual(before);
    const cleanup = readObjects('cleanup.yml').map((object) => {
      return stringify({ ...object, metadata: { ...object.metadata, namespace: NAMESPACE } });
    });
    const lost = await lossOf('cleanup', async () => {
      apply(['--filename=-'], cleanup.join('---\n'));
      await untilRolledOut(cluster, NAMESPACE, 'weft-cleanup');
    });
    expect(lost).toBe(0);
    for (const node of cluster.lab.nodes)
      expect(sorted(await stateOf(node))).toEqual(sorted(asFlannelHadIt.get(node.name)));
    await renewMany();
  });
});
