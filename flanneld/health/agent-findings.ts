// What only the running agent can know, as findings: that its store is silent, and who undoes its repairs. The agent shows them in
// `status`, metrics and Events; the doctor makes the same ones from the agent's report. Pure functions.

import type { DriftEntry } from './drift-ledger.ts';
import type { Finding } from './finding.ts';
import type { Check } from './http-server.ts';
import type { FastPathStatus } from './status/report.ts';
import { STORE_CHECK } from './store-check.ts';

/** How many repairs of one thing, within how short a time, are no accident. */
const REPAIRS = 4;
const WINDOW_MS = 10_000;

export interface AgentKnows {
  readonly node: string;
  readonly checks: readonly Check[];
  readonly drift: readonly DriftEntry[];
  readonly fastPath?: FastPathStatus | undefined;
  /** Wall-clock time. */
  readonly nowMs: number;
}

export function agentFindings({ node, checks, drift, fastPath, nowMs }: AgentKnows): Finding[] {
  return [...silentStore(checks, node), ...fights(drift, node, nowMs), ...slowPath(fastPath, node)];
}

function slowPath(fastPath: FastPathStatus | undefined, node: string): Finding[] {
  const { reason, notFull, isWaiting } = fastPath ?? {};
  const evidence =
    reason ?? (notFull && `the tunnel’s device encapsulates and decapsulates, as with redirect: ${notFull}`);
  if (evidence === undefined || isWaiting === true) return [];
  return [
    {
      id: 'fast-path-off',
      severity: 'info',
      node,
      cause:
        reason === undefined
          ? 'pods’ packets take a slower way than the one that is asked for (--fast-path=full): it would not be safe'
          : 'pods’ packets go the classic way, though the fast path is asked for: it would not be safe, or is not possible',
      evidence,
      fix: `on ${node}: nothing has to be done; --fast-path=off or "FastPath": "off" in Backend ends the finding`,
    },
  ];
}

function silentStore(checks: readonly Check[], node: string): Finding[] {
  return checks
    .filter(({ name, problem }) => name === STORE_CHECK && problem !== undefined)
    .map(({ problem = '' }) => ({
      id: 'store-unreachable',
      severity: 'warning',
      node,
      cause:
        'the store of the cluster’s state does not answer the agent as it should: changes of other nodes are not seen',
      evidence: problem,
      fix: `on ${node}: check the API server or etcd, its address and certificate, and the network to it`,
    }));
}

function fights(entries: readonly DriftEntry[], node: string, nowMs: number): Finding[] {
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
      severity: 'warning',
      node,
      cause: `another program keeps undoing what the agent repairs: ${object} of ${what} on ${place}`,
      evidence: `repaired ${times} times in the last ${WINDOW_MS / 1000} s; it ${was}; the repair is ${cmd}`,
      fix: `on ${node}: stop the other program: Unmanaged=yes for flannel.* in systemd-networkd, unmanaged-devices in NetworkManager, a second flannel`,
    }));
}
