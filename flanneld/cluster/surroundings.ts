// What every command of the plugin needs.

import type { JsonObject } from '../../lib/json.ts';
import { type Cluster, type ClusterNode, findCluster } from './ask/agents.ts';
import { askAgent } from './ask/ask-agent.ts';
import { type Answer, askAll, type Progress } from './ask/bounded.ts';
import type { ClusterApi } from './ask/cluster-api.ts';
import type { PluginOptions } from './plugin-options.ts';

export interface Surroundings {
  readonly options: PluginOptions;
  readonly api: ClusterApi;
  readonly progress: Progress;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Writes to standard output. */
  readonly print: (text: string) => void;
  /** Writes a line to standard error. */
  readonly say: (line: string) => void;
}

/** The cluster's nodes. Rejects when there are none, or when none of them has an agent. */
export async function theCluster({ api, options, signal }: Surroundings): Promise<Cluster> {
  const cluster = await findCluster(api, options.namespace, signal);
  if (cluster.daemonSets.length > 0) return cluster;
  const where = options.namespace === undefined ? 'any namespace' : `the namespace ${options.namespace}`;
  throw new Error(`no DaemonSet of Weft in ${where}: none has a container whose command is /opt/weft/flanneld`);
}

/** Runs a sub-command of flanneld on each node, and reads its answers by `read`. */
export async function askAgents<T>(
  { api, options, progress, signal }: Surroundings,
  nodes: readonly ClusterNode[],
  command: readonly string[],
  read: (answer: JsonObject, node: string) => T,
): Promise<Answer<T>[]> {
  const { parallel, timeoutMs } = options;
  const ask = async (node: ClusterNode): Promise<T> =>
    read(await askAgent(api.access, node, command, { timeoutMs, signal }), node.name);
  return await askAll({ items: nodes, parallel, nodeOf: ({ name }) => name, ask, progress, signal });
}
