// Hearing that somebody changed the agent's nftables table: events of the nftables multicast group that name it
// (linux/netfilter/nfnetlink.h, nf_tables.h). What changed is found out by listing the table.

import type { MessageReader } from '../../lib/netlink/reader.ts';

export const NETLINK_NETFILTER = 12;
export const NFNLGRP_NFTABLES = 7;

/** A message type is the subsystem in the upper byte, the message in the lower. */
const NFNL_SUBSYS_NFTABLES = 10;
/** struct nfgenmsg: u8 family, u8 version, u16 resource id. */
const NFGENMSG = 4;
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_OBJ_TABLE are all this. */
const NFTA_TABLE = 1;
const NFT_MSG_NEWGEN = 15;

/** Whether an event is about the table of that name, in whatever family. Throws MalformedReply. */
export function concernsTable(message: MessageReader, name: string): boolean {
  if (message.type >> 8 !== NFNL_SUBSYS_NFTABLES || (message.type & 0xff) === NFT_MSG_NEWGEN) return false;
  message.struct(NFGENMSG);
  const attributes = message.attributes(NFGENMSG);
  while (attributes.next()) if (attributes.type === NFTA_TABLE) return attributes.text() === name;
  return false;
}
