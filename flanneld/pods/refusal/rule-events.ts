// Which changes of nftables may make the node refuse pods' packets: rules and chains of others, but for those that come
// and go with every Service (kube-proxy's), and our own.

import type { RulesetEvent } from '../../../lib/netfilter/ruleset-event.ts';

const TABLES: ReadonlySet<string> = new Set(['weft', 'weft_portmap', 'weft_trace', 'kube-proxy']);
const CHAINS = /^(KUBE-|FLANNEL-|WEFT-|CNI-)/;

export function isForeignRule({ what, table, chain = '' }: RulesetEvent): boolean {
  return what !== 'other' && !TABLES.has(table) && !CHAINS.test(chain);
}
