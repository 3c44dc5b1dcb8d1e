// Hearing that somebody changed the agent's rules: events of the nftables multicast group that name its table, or its
// chains and the jumps to them where iptables stands on nftables (linux/netfilter/nfnetlink.h, nf_tables.h). What changed
// is found out by listing.

import type { MessageReader } from '../../lib/netlink/reader.ts';
import type { OwnedChain } from './iptables-table.ts';

export const NETLINK_NETFILTER = 12;
export const NFNLGRP_NFTABLES = 7;

/** A message type is the subsystem in the upper byte, the message in the lower. */
const NFNL_SUBSYS_NFTABLES = 10;
/** struct nfgenmsg: u8 family, u8 version, u16 resource id. */
const NFGENMSG = 4;
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_OBJ_TABLE are all this. */
const NFTA_TABLE = 1;
const NFT_MSG_NEWGEN = 15;
/** Where the events of a kind have the name of the chain; new and deleted tables have none. */
const CHAIN_ATTRIBUTE: ReadonlyMap<number, number> = new Map([
  [3, 3], // NFT_MSG_NEWCHAIN: NFTA_CHAIN_NAME
  [5, 3], // NFT_MSG_DELCHAIN
  [6, 2], // NFT_MSG_NEWRULE: NFTA_RULE_CHAIN
  [8, 2], // NFT_MSG_DELRULE
]);
const TABLE_EVENTS: ReadonlySet<number> = new Set([0, 2]); // NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE

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

/** Whether an event is about one of those, in whatever family. Throws MalformedReply. */
export function isOfInterest(message: MessageReader, { tables, chains, sharedTables }: Interest): boolean {
  const kind = message.type & 0xff;
  if (message.type >> 8 !== NFNL_SUBSYS_NFTABLES || kind === NFT_MSG_NEWGEN) return false;
  message.struct(NFGENMSG);
  const chainAttribute = CHAIN_ATTRIBUTE.get(kind);
  let [table, chain]: (string | undefined)[] = [];
  const attributes = message.attributes(NFGENMSG);
  while (attributes.next()) {
    if (attributes.type === NFTA_TABLE) table = attributes.text();
    else if (attributes.type === chainAttribute) chain = attributes.text();
  }
  if (table === undefined) return false;
  if (tables.has(table)) return true;
  return TABLE_EVENTS.has(kind) ? sharedTables.has(table) : chains.has(`${table} ${chain}`);
}
