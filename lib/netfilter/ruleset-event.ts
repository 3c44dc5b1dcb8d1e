// Parses events of the nftables multicast group (linux/netfilter/nfnetlink.h, nf_tables.h): to which table, and to which of its
// chains, an event belongs. iptables on nf_tables causes the same events. Listing then shows what has changed.

import type { MessageReader } from '../netlink/reader.ts';
import { NFNL_SUBSYS_NFTABLES, NFTA_CHAIN_NAME, NFTA_RULE_CHAIN, NFTA_TABLE_NAME } from './nf-tables-constants.ts';

/** Multicast group of NETLINK_NETFILTER. */
export const NFNLGRP_NFTABLES = 7;

/** struct nfgenmsg: u8 family, u8 version, u16 resource id. */
const NFGENMSG = 4;
/** The lower byte of nf_tables' messages. */
const NFT_MSG_NEWGEN = 15;
const TABLE_MESSAGES: ReadonlySet<number> = new Set([0, 2]); // NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE
const CHAIN_MESSAGES: ReadonlySet<number> = new Set([3, 5]); // NFT_MSG_NEWCHAIN, NFT_MSG_DELCHAIN
const RULE_MESSAGES: ReadonlySet<number> = new Set([6, 8]); // NFT_MSG_NEWRULE, NFT_MSG_DELRULE

export interface RulesetEvent {
  readonly kind: 'ruleset';
  /** Port id of the socket that made the change. */
  readonly by: number;
  readonly what: 'table' | 'chain' | 'rule' | 'other';
  readonly table: string;
  /** The chain, for an event about a chain or a rule. */
  readonly chain?: string;
}

/** Returns undefined for other messages, and for the number of the rule set that ends a transaction. Throws MalformedReply. */
export function readRulesetEvent(message: MessageReader): RulesetEvent | undefined {
  const kind = message.type & 0xff;
  if (message.type >> 8 !== NFNL_SUBSYS_NFTABLES || kind === NFT_MSG_NEWGEN) return undefined;
  message.struct(NFGENMSG);
  const what = whatOf(kind);
  // Attribute 1 is the table's name in every kind of message.
  const chainAttribute = what === 'chain' ? NFTA_CHAIN_NAME : what === 'rule' ? NFTA_RULE_CHAIN : undefined;
  let [table, chain]: (string | undefined)[] = [];
  const attributes = message.attributes(NFGENMSG);
  while (attributes.next()) {
    if (attributes.type === NFTA_TABLE_NAME) table = attributes.text();
    else if (attributes.type === chainAttribute) chain = attributes.text();
  }
  if (table === undefined) return undefined;
  return { kind: 'ruleset', by: message.portId, what, table, ...(chain !== undefined && { chain }) };
}

function whatOf(kind: number): RulesetEvent['what'] {
  if (TABLE_MESSAGES.has(kind)) return 'table';
  if (CHAIN_MESSAGES.has(kind)) return 'chain';
  return RULE_MESSAGES.has(kind) ? 'rule' : 'other';
}
