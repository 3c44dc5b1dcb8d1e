// Which changes of the rule set are about the agent's rules: those of its own table, and those of its chains, and of the
// chains that jump to them, where iptables stands on nftables.

import type { RulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { OwnedChain } from './iptables-table.ts';

/** What events are about. */
export interface Interest {
  /** Tables that are ours as a whole. */
  readonly tables: ReadonlySet<string>;
  /** Chains of iptables by `table chain`, and the tables they are in. */
  readonly chains: ReadonlySet<string>;
  readonly sharedTables: ReadonlySet<string>;
}

export function interestIn(tables: readonly string[], chains: readonly OwnedChain[]): Interest {
  const names = chains.flatMap(({ table, name, base }) => [`${table} ${name}`, `${table} ${base}`]);
  return { tables: new Set(tables), chains: new Set(names), sharedTables: new Set(chains.map(({ table }) => table)) };
}

/** Whether an event is about one of those, in whatever family. */
export function isOfInterest({ what, table, chain }: RulesetEvent, interest: Interest): boolean {
  if (interest.tables.has(table)) return true;
  return what === 'table' ? interest.sharedTables.has(table) : interest.chains.has(`${table} ${chain}`);
}
