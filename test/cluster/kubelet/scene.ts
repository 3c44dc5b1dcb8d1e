// The conditions that tests of the cluster wait for, and requests between its pods.

import type { FlowEnd } from '../../faults/probe/spec.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { waitUntil } from '../../lab/processes.ts';
import { containerOf, isRolledOut, isTrue, listNodes, listPods, type PodObject } from './api.ts';
import type { KubeCluster } from './cluster.ts';

const STEP_MS = 60_000;

/** Waits for a condition. When this takes too long, the error describes the state of the cluster. */
export async function until(cluster: KubeCluster, condition: () => Promise<boolean>, what: string): Promise<void> {
  try {
    await waitUntil(condition, STEP_MS, what);
  } catch (error) {
    throw new Error(`${String(error)}\n${await cluster.report()}`);
  }
}

export async function untilReady(cluster: KubeCluster, app: string, count: number): Promise<PodObject[]> {
  let pods: PodObject[] = [];
  const areReady = async (): Promise<boolean> => {
    pods = await listPods(cluster.server, app);
    return pods.length === count && pods.every((pod) => isTrue(pod, 'Ready'));
  };
  await until(cluster, areReady, `${count} pods of ${app} ready`);
  return pods;
}

export async function untilRolledOut(cluster: KubeCluster, namespace: string, name: string): Promise<void> {
  await until(cluster, () => isRolledOut(cluster.server, namespace, name), `roll-out of ${name}`);
}

/** A node counts as ready only when the taint that keeps pods away from it is gone, too. */
export async function untilNodesAreReady(cluster: KubeCluster): Promise<void> {
  const areReady = async (): Promise<boolean> => {
    const nodes = await listNodes(cluster.server);
    return nodes.every((node) => isTrue(node, 'Ready') && node.spec.taints === undefined);
  };
  await until(cluster, areReady, 'ready nodes');
}

export function nodeOf(cluster: KubeCluster, { spec }: PodObject): LabNode {
  return cluster.lab.node(spec.nodeName ?? '');
}

/** What a web server answers to a pod: the name of the pod in which the server runs. */
export async function fetchFrom(cluster: KubeCluster, pod: PodObject, url: string): Promise<string> {
  const get = ['timeout', '5', 'wget', '-q', '-O', '-', url];
  return await cluster.exec(nodeOf(cluster, pod), containerOf(pod), get);
}

/** Returns the pairs of pods in which the first did not receive the name of the second from it. */
export async function failedPairs(cluster: KubeCluster, pods: readonly PodObject[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const from of pods) {
    for (const to of pods) {
      const name = await fetchFrom(cluster, from, `http://${to.status.podIP}/`);
      if (name !== to.metadata.name) wrong.push(`${from.metadata.name} from ${to.metadata.name}: ${name}`);
    }
  }
  return wrong;
}

export async function flowEnd(cluster: KubeCluster, pod: PodObject): Promise<FlowEnd> {
  const netnsFromOutside = await cluster.netnsOf(nodeOf(cluster, pod), containerOf(pod));
  return { netnsFromOutside, ip: pod.status.podIP ?? '' };
}
