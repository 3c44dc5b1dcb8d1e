// What only the running agent can know: since when its store is silent, and who undoes its repairs.

import type { DriftEntry } from '../../health/drift-ledger.ts';
import type { Draft } from '../draft.ts';
import type { View } from '../view/view.ts';

/** The name of the agent's line about its store. */
const STORE_CHECK = 'cluster state';
/** So many repairs of one thing in so short a time are no accident. */
const REPAIRS = 4;
const WINDOW_MS = 10_000;

export function checkAgentKnows({ agent, node, nowMs }: View): Draft[] {
  if (agent.state !== 'answers') return [];
  return [...silentStore(agent.report.checks, node), ...fights(agent.report.drift.entries, node, nowMs)];
}

function silentStore(
  checks: readonly { readonly name: string; readonly problem?: string | undefined }[],
  node: string,
): Draft[] {
  return checks
    .filter(({ name, problem }) => name === STORE_CHECK && problem !== undefined)
    .map(({ problem = '' }) => ({
      id: 'store-unreachable',
      cause:
        'the store of the cluster’s state does not answer the agent as it should: changes of other nodes are not seen',
      evidence: problem,
      fix: `on ${node}: check the API server or etcd, its address and certificate, and the network to it`,
    }));
}

function fights(entries: readonly DriftEntry[], node: string, nowMs: number): Draft[] {
  const counts = new Map<string, { readonly entry: DriftEntry; times: number }>();
  for (const entry of entries) {
    if (nowMs - Date.parse(entry.time) > WINDOW_MS) continue;
    const key = `${entry.object} ${entry.place} ${entry.what}`;
    const known = counts.get(key);
    if (known === undefined) counts.set(key, { entry, times: 1 });
    else known.times++;
  }
  return [...counts.values()]
    .filter(({ times }) => times >= REPAIRS)
    .map(({ entry: { object, place, what, was, cmd }, times }) => ({
      id: 'object-fought-over',
      cause: `another program keeps undoing what the agent repairs: ${object} of ${what} on ${place}`,
      evidence: `repaired ${times} times in the last ${WINDOW_MS / 1000} s; it ${was}; the repair is ${cmd}`,
      fix: `on ${node}: stop the other program: Unmanaged=yes for flannel.* in systemd-networkd, unmanaged-devices in NetworkManager, a second flannel`,
    }));
}
