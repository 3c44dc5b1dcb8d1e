// Finds the cluster's Linux nodes and the agent's pod on each. An agent is recognized by the program that its container executes, so the
// namespace, names and labels of the DaemonSet do not matter: the chart chooses them, and a DaemonSet that replaces flannel's keeps
// flannel's.

import { type ClusterApi, type Fields, fieldsOf, listOf, textOf, textsOf } from './cluster-api.ts';
import type { Container } from './exec-in-pod.ts';

/** The path of the agent in the image. */
const AGENT = /^\/opt\/weft\/flanneld$/;
const LEASE = /(^|\/)flannel\.alpha\.coreos\.com\/backend-type$/;
const KUBELET_PORT = 10_250;

export interface AgentPod extends Container {
  readonly image: string;
  readonly imagePullPolicy: string;
  /** The agent's whole command with its arguments. */
  readonly argv: readonly string[];
  /** Why nothing can be executed in its container; undefined while it runs. */
  readonly notRunning?: string;
}

export interface ClusterNode {
  readonly name: string;
  /** The node's InternalIPs. */
  readonly addresses: readonly string[];
  readonly kubeletPort: number;
  /** Whether the kubelet reports it as Ready. */
  readonly isReady: boolean;
  /** Whether flannel, Weft's or the original, has a lease for it. */
  readonly hasLease: boolean;
  readonly agent?: AgentPod;
}

export interface Cluster {
  /** Sorted by name. */
  readonly nodes: readonly ClusterNode[];
  /** The DaemonSets of the agent, as the API server gave them. */
  readonly daemonSets: readonly Fields[];
  /** The Nodes, as the API server gave them. */
  readonly nodeObjects: readonly Fields[];
}

/** `namespace` limits the search for agents. */
export async function findCluster(
  api: ClusterApi,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<Cluster> {
  const nodeObjects = await api.list('/api/v1/nodes', {}, signal);
  const within = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  const all = await api.list(`/apis/apps/v1${within}/daemonsets`, {}, signal);
  const daemonSets = all.filter((each) => agentContainer(templateOf(each)) !== undefined);
  const pods: Fields[] = [];
  for (const each of daemonSets) pods.push(...(await listPods(api, each, signal)));
  const agents = new Map<string, AgentPod>();
  for (const pod of pods) {
    const node = textOf(fieldsOf(pod['spec'])['nodeName']);
    const agent = readAgentPod(pod);
    // While a pod is being replaced a node has two for a moment; the running one can answer.
    if (agent !== undefined && (agent.notRunning === undefined || !agents.has(node))) agents.set(node, agent);
  }
  const nodes = nodeObjects.filter(isLinux).map((node) => readNode(node, agents));
  return { nodes: nodes.sort((a, b) => compareNames(a.name, b.name)), daemonSets, nodeObjects };
}

async function listPods(api: ClusterApi, daemonSet: Fields, signal: AbortSignal): Promise<Fields[]> {
  const namespace = textOf(fieldsOf(daemonSet['metadata'])['namespace']);
  const labels = fieldsOf(fieldsOf(fieldsOf(daemonSet['spec'])['selector'])['matchLabels']);
  const labelSelector = Object.entries(labels)
    .map(([key, value]) => `${key}=${textOf(value)}`)
    .join(',');
  return await api.list(`/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`, { labelSelector }, signal);
}

function templateOf(daemonSet: Fields): Fields {
  return fieldsOf(fieldsOf(fieldsOf(daemonSet['spec'])['template'])['spec']);
}

function agentContainer(spec: Fields): Fields | undefined {
  return listOf(spec['containers']).find(({ command }) => AGENT.test(textsOf(command)[0] ?? ''));
}

/** Returns undefined for a pod that does not belong to the agent. */
function readAgentPod(pod: Fields): AgentPod | undefined {
  const metadata = fieldsOf(pod['metadata']);
  const container = agentContainer(fieldsOf(pod['spec']));
  if (container === undefined) return undefined;
  const name = textOf(container['name']);
  const why = whyNotRunning(fieldsOf(pod['status']), name);
  return {
    namespace: textOf(metadata['namespace']),
    pod: textOf(metadata['name']),
    container: name,
    image: textOf(container['image']),
    imagePullPolicy: textOf(container['imagePullPolicy']) || 'IfNotPresent',
    argv: [...textsOf(container['command']), ...textsOf(container['args'])],
    ...(why !== undefined && { notRunning: why }),
  };
}

function whyNotRunning(status: Fields, container: string): string | undefined {
  const own = listOf(status['containerStatuses']).find(({ name }) => name === container);
  const state = fieldsOf(own?.['state']);
  if (state['running'] !== undefined) return undefined;
  const reason = [state['waiting'], state['terminated']].map((each) => textOf(fieldsOf(each)['reason'])).find(Boolean);
  return reason ?? (textOf(status['phase']) || 'no container yet');
}

function readNode(node: Fields, agents: ReadonlyMap<string, AgentPod>): ClusterNode {
  const metadata = fieldsOf(node['metadata']);
  const status = fieldsOf(node['status']);
  const name = textOf(metadata['name']);
  const agent = agents.get(name);
  const internal = listOf(status['addresses']).filter(({ type }) => type === 'InternalIP');
  const port = fieldsOf(fieldsOf(status['daemonEndpoints'])['kubeletEndpoint'])['Port'];
  return {
    name,
    addresses: internal.map(({ address }) => textOf(address)),
    kubeletPort: typeof port === 'number' && port > 0 ? port : KUBELET_PORT,
    isReady: listOf(status['conditions']).some((each) => each['type'] === 'Ready' && each['status'] === 'True'),
    hasLease: Object.keys(fieldsOf(metadata['annotations'])).some((key) => LEASE.test(key)),
    ...(agent !== undefined && { agent }),
  };
}

/** A node that does not name its operating system counts as Linux, because lab nodes do not name it. */
function isLinux(node: Fields): boolean {
  const labels = fieldsOf(fieldsOf(node['metadata'])['labels']);
  return (textOf(labels['kubernetes.io/os']) || 'linux') === 'linux';
}

/** Sorts numbers in names by value: node-2 comes before node-10. */
export function compareNames(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** Throws an Error that says why the node's agent cannot be asked. */
export function agentOf({ agent, hasLease }: ClusterNode): AgentPod {
  if (agent === undefined)
    throw new Error(hasLease ? 'no agent of Weft; flannel has a lease for this node' : 'no agent of Weft');
  if (agent.notRunning !== undefined) throw new Error(`its agent does not run: ${agent.notRunning}`);
  return agent;
}
