// Findings that only the running agent can have: that its store does not answer, and that somebody undoes its repairs. The agent shows them
// in `status`, metrics and Events; the doctor derives the same ones from the agent's report. Pure functions.

import type { DriftEntry } from './drift-ledger.ts';
import type { Finding } from './finding.ts';
import type { Check } from './http-server.ts';
import type { FastPathStatus } from './status/report.ts';
import { STORE_CHECK } from './store-check.ts';

/** This many repairs of one thing in this short a time are no accident. */
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
          ? 'pods’ packets take a slower way than --fast-path=full would give them, because that would not be safe'
          : 'pods’ packets go through bridge, routing and netfilter although the fast path is configured, because it would not be safe or is not possible',
      evidence,
      fix: `on ${node}: nothing has to be done; --fast-path=off, or "FastPath": "off" in Backend, ends the finding`,
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
        'the store of the cluster’s state (API server or etcd) does not answer the agent, so this node does not follow changes of other nodes',
      evidence: problem,
      fix: `on ${node}: check the API server or etcd, its address and certificate, and the network from this node to it`,
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
      cause: `another program keeps undoing a repair of the agent: ${object} of ${what} on ${place}`,
      evidence: `the agent has repaired it ${times} times in the last ${WINDOW_MS / 1000} s; it ${was}; the repair is ${cmd}`,
      fix: `on ${node}: stop the other program: set Unmanaged=yes for flannel.* in systemd-networkd, unmanaged-devices in NetworkManager, or end a second flannel`,
    }));
}
