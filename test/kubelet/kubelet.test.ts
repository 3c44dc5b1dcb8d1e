// The whole way of a pod in a real cluster: kubelet registers the node, kube-controller-manager gives it a podCIDR, the
// agent takes that and the node becomes Ready, kube-scheduler places pods, kubelet has containerd call the plugin.

import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { IMAGE } from '../containerd/image.ts';
import { CNI_CACHE_FOLDER, SUBNET_FILE } from '../lab/contract.ts';
import type { LabNode } from '../lab/lab-node.ts';
import { waitUntil } from '../lab/processes.ts';
import { needs } from '../support/needs.ts';
import {
  containerOf,
  createWorkload,
  deleteWorkload,
  isTrue,
  listNodes,
  listPods,
  type PodObject,
  scale,
} from './api.ts';
import { KubeCluster, missingServers } from './cluster.ts';

const NODES = 2;

let cluster: KubeCluster;
beforeAll(async () => {
  if (missingServers().length === 0) cluster = await KubeCluster.start(NODES);
}, 180_000);
afterAll(() => cluster?.stop());
beforeEach(() =>
  needs.machine(missingServers().length === 0, `${missingServers().join(', ')} (in KUBEBUILDER_ASSETS, then on PATH)`),
);

/** Address files of pods. */
function held(node: LabNode): string[] {
  const folder = node.pathFromOutside(`${CNI_CACHE_FOLDER}/networks/cbr0`);
  return existsSync(folder) ? readdirSync(folder).filter((name) => /^10\./.test(name)) : [];
}

/** Waits, and says what the cluster was like when it takes too long. */
async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  try {
    await waitUntil(condition, 40_000, what);
  } catch (error) {
    throw new Error(`${String(error)}\n${cluster.report()}`);
  }
}

async function untilReady(app: string, count: number): Promise<PodObject[]> {
  let pods: PodObject[] = [];
  await until(async () => {
    pods = await listPods(cluster.server, app);
    return pods.length === count && pods.every((pod) => isTrue(pod, 'Ready'));
  }, `${count} pods of ${app} ready`);
  return pods;
}

/** What one pod's web server tells another pod: its name. */
async function answer(from: PodObject, to: PodObject): Promise<string> {
  const node = cluster.lab.node(from.spec.nodeName ?? '');
  const get = ['timeout', '5', 'wget', '-q', '-O', '-', `http://${to.status.podIP}/`];
  return await cluster.exec(node, containerOf(from), get);
}

async function expectMesh(pods: readonly PodObject[]): Promise<void> {
  for (const from of pods) for (const to of pods) expect(await answer(from, to)).toBe(to.metadata.name);
}

describe('a cluster of kubelets', () => {
  test('registers its nodes, gives them podCIDRs, and keeps pods off them without an agent', async () => {
    await Promise.all(cluster.lab.nodes.map((node) => cluster.startKubelet(node)));
    await until(async () => {
      const nodes = await listNodes(cluster.server);
      return nodes.length === NODES && nodes.every(({ spec }) => spec.podCIDR !== undefined);
    }, 'podCIDRs');
    const nodes = await listNodes(cluster.server);
    expect(nodes.map((node) => isTrue(node, 'Ready'))).toEqual([false, false]);
    expect(nodes.map(({ spec }) => spec.taints?.map(({ key }) => key))).toEqual(
      Array(NODES).fill(['node.kubernetes.io/not-ready']),
    );
  });

  test('has nodes that are ready once their agents forward, in the subnets the controller gave', async () => {
    await Promise.all(cluster.lab.nodes.map((node) => cluster.startAgent(node)));
    await until(async () => (await listNodes(cluster.server)).every((node) => isTrue(node, 'Ready')), 'ready nodes');
    for (const { metadata, spec } of await listNodes(cluster.server)) {
      const gateway = spec.podCIDR?.replace(/0\/24$/, '1/24');
      expect(cluster.lab.node(metadata.name).readFile(SUBNET_FILE)).toContain(`FLANNEL_SUBNET=${gateway}\n`);
    }
    await until(
      async () => (await listNodes(cluster.server)).every(({ spec }) => spec.taints === undefined),
      'no taints',
    );
  });

  test('runs a DaemonSet whose pods reach each other by the tunnel', async () => {
    await createWorkload(cluster.server, 'DaemonSet', 'every-node', IMAGE);
    const pods = await untilReady('every-node', NODES);
    const nodes = await listNodes(cluster.server);
    for (const { spec, status } of pods) {
      const cidr = nodes.find(({ metadata }) => metadata.name === spec.nodeName)?.spec.podCIDR ?? '';
      expect(status.podIP?.startsWith(cidr.replace(/0\/24$/, ''))).toBe(true);
    }
    await expectMesh(pods);
  });

  test('scales a Deployment up and down, and every address is given back', async () => {
    await createWorkload(cluster.server, 'Deployment', 'many', IMAGE, { replicas: 8 });
    const pods = await untilReady('many', 8);
    expect(new Set(pods.map(({ status }) => status.podIP)).size).toBe(8);
    expect(cluster.lab.nodes.flatMap(held)).toHaveLength(8 + NODES);
    await scale(cluster.server, 'many', 1);
    await until(() => Promise.resolve(cluster.lab.nodes.flatMap(held).length === 1 + NODES), 'addresses given back');
  });

  test('goes on with pods that come and go while the agents are gone', async () => {
    for (const node of cluster.lab.nodes) await cluster.killAgent(node);
    await scale(cluster.server, 'many', 4);
    const pods = await untilReady('many', 4);
    await expectMesh(pods);
    for (const node of cluster.lab.nodes) await cluster.startAgent(node);
  });

  test('leaves nothing of pods that are deleted', async () => {
    await deleteWorkload(cluster.server, 'DaemonSet', 'every-node');
    await deleteWorkload(cluster.server, 'Deployment', 'many');
    await until(() => Promise.resolve(cluster.lab.nodes.flatMap(held).length === 0), 'addresses given back');
    for (const node of cluster.lab.nodes) {
      await until(
        async () => !(await node.run(['ip', '-o', 'link', 'show', 'type', 'veth'])).includes('master cni0'),
        'no ports',
      );
    }
  });
});
