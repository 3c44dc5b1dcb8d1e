// Decides which changes of rules may make the node refuse pods' packets: those of rules and chains of others, except kube-proxy's,
// which change with every Service.

import type { RulesetEvent } from '../../../lib/netfilter/ruleset-event.ts';

/** Tables that are ignored: ours for any VNI, the executable's, the trace's, and kube-proxy's. */
const TABLES = /^(weft|kube-proxy$)/;
const CHAINS = /^(KUBE-|FLANNEL-|WEFT-|CNI-)/;

export function isForeignRule({ what, table, chain = '' }: RulesetEvent): boolean {
  return what !== 'other' && !TABLES.test(table) && isForeignChain(chain);
}

export function isForeignChain(chain: string): boolean {
  return !CHAINS.test(chain);
}
