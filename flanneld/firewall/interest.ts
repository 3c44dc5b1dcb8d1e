// Decides whether a change of the rule set concerns the agent's rules: a change of its own tables, or, for iptables on nftables,
// of its chains and of the chains that jump to them.

import type { RulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { OwnedChain } from './iptables-table.ts';

/** The tables and chains whose changes concern us. */
export interface Interest {
  /** Tables that belong to us completely. */
  readonly tables: ReadonlySet<string>;
  /** Chains of iptables as `table chain`, and below the tables they are in. */
  readonly chains: ReadonlySet<string>;
  readonly sharedTables: ReadonlySet<string>;
}

export function interestIn(tables: readonly string[], chains: readonly OwnedChain[]): Interest {
  const names = chains.flatMap(({ table, name, base }) => [`${table} ${name}`, `${table} ${base}`]);
  return { tables: new Set(tables), chains: new Set(names), sharedTables: new Set(chains.map(({ table }) => table)) };
}

/** Whether an event is about one of them, in any family. */
export function isOfInterest({ what, table, chain }: RulesetEvent, interest: Interest): boolean {
  if (interest.tables.has(table)) return true;
  return what === 'table' ? interest.sharedTables.has(table) : interest.chains.has(`${table} ${chain}`);
}
