// Which changes of nftables may make the node refuse pods' packets: rules and chains of others, but for those that come
// and go with every Service (kube-proxy's), and our own.

import type { RulesetEvent } from '../../../lib/netfilter/ruleset-event.ts';

/** Ours, of whatever VNI, the executable's and the trace's; kube-proxy's. */
const TABLES = /^(weft|kube-proxy$)/;
const CHAINS = /^(KUBE-|FLANNEL-|WEFT-|CNI-)/;

export function isForeignRule({ what, table, chain = '' }: RulesetEvent): boolean {
  return what !== 'other' && !TABLES.test(table) && !CHAINS.test(chain);
}
