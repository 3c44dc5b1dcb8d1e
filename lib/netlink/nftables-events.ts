// Which events of the nftables group tell that tables or chains changed (linux/netfilter/nf_tables.h). Rules and
// set elements change all the time on a node of Kubernetes, and nothing of ours depends on them.

import type { MessageReader } from './reader.ts';

/** Multicast group of NETLINK_NETFILTER. */
export const NFNLGRP_NFTABLES = 7;

/** nfnetlink puts the subsystem into the upper byte of the type: NFNL_SUBSYS_NFTABLES is 10. */
const NFT_MSG_NEWTABLE = 0x0a00;
const NFT_MSG_DELTABLE = 0x0a02;
const NFT_MSG_NEWCHAIN = 0x0a03;
const NFT_MSG_DELCHAIN = 0x0a05;
/** Ends every transaction: the rule set has a new generation number. */
const NFT_MSG_NEWGEN = 0x0a0f;

/** What changed; undefined for all else. */
export function readNftablesEvent(message: MessageReader): 'table' | 'chain' | 'generation' | undefined {
  switch (message.type) {
    case NFT_MSG_NEWTABLE:
    case NFT_MSG_DELTABLE:
      return 'table';
    case NFT_MSG_NEWCHAIN:
    case NFT_MSG_DELCHAIN:
      return 'chain';
    case NFT_MSG_NEWGEN:
      return 'generation';
    default:
      return undefined;
  }
}
