// The kernel's trace of a packet with `meta nftrace set 1`: a message for every rule that matches it, and for the policy at the end of a
// chain (linux/netfilter/nf_tables.h, NFTA_TRACE_; `nft monitor trace`).

import type { AttributeReader, MessageReader } from '../netlink/reader.ts';
import type { Mutable } from '../rtnetlink/spelling.ts';
import { NFNL_SUBSYS_NFTABLES, NFTA_VERDICT_CODE } from './nf-tables-constants.ts';

/** Multicast group of NETLINK_NETFILTER. */
export const NFNLGRP_NFTRACE = 9;
/** Verdict code. */
export const NF_DROP = 0;

/** One step of a packet. */
export interface TraceEvent {
  /** The family of the chain, such as `inet`, `ip` or `ip6`; '' for an unknown one. */
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  /** Undefined for the chain's policy or the end of the chain. */
  readonly handle?: bigint;
  /** The same for every step of one packet. */
  readonly id: number;
  /** The packet's IP header. It comes with the first step in each chain of a hook. */
  readonly packet?: Uint8Array;
  /** The first bytes of its TCP or UDP header, which come with the same step. */
  readonly transport?: Uint8Array;
  /** The index of the device by which the packet leaves, at hooks that know it. */
  readonly oif?: number;
  /** NF_DROP, NF_ACCEPT, or negative for a jump; undefined for a step without a verdict. */
  readonly verdict?: number;
}

const NFT_MSG_TRACE = 17;
/** struct nfgenmsg: u8 family, u8 version, u16 resource id. */
const NFGENMSG = 4;
const NFTA_TRACE_TABLE = 1;
const NFTA_TRACE_CHAIN = 2;
const NFTA_TRACE_RULE_HANDLE = 3;
const NFTA_TRACE_VERDICT = 5;
const NFTA_TRACE_ID = 6;
const NFTA_TRACE_NETWORK_HEADER = 8;
const NFTA_TRACE_TRANSPORT_HEADER = 9;
const NFTA_TRACE_OIF = 12;
const NFTA_TRACE_POLICY = 16;
const FAMILIES: ReadonlyMap<number, string> = new Map([
  [1, 'inet'],
  [2, 'ip'],
  [5, 'netdev'],
  [7, 'bridge'],
  [10, 'ip6'],
]);

/** Undefined for other messages. Throws MalformedReply. */
export function readTraceEvent(message: MessageReader): TraceEvent | undefined {
  if (message.type !== ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_TRACE)) return undefined;
  const family = FAMILIES.get(message.bytes[message.struct(NFGENMSG)] ?? 0) ?? '';
  const event: Mutable<TraceEvent> = { family, table: '', chain: '', id: 0 };
  const attributes = message.attributes(NFGENMSG);
  while (attributes.next()) decodeAttribute(attributes, event);
  return event;
}

function decodeAttribute(attribute: AttributeReader, event: Mutable<TraceEvent>): void {
  switch (attribute.type) {
    case NFTA_TRACE_TABLE:
      event.table = attribute.text();
      break;
    case NFTA_TRACE_CHAIN:
      event.chain = attribute.text();
      break;
    case NFTA_TRACE_RULE_HANDLE:
      if (attribute.length === 8) event.handle = attribute.view.getBigUint64(attribute.at, false);
      break;
    case NFTA_TRACE_ID:
      event.id = attribute.u32();
      break;
    case NFTA_TRACE_NETWORK_HEADER:
      event.packet = attribute.copy();
      break;
    case NFTA_TRACE_TRANSPORT_HEADER:
      event.transport = attribute.copy();
      break;
    case NFTA_TRACE_OIF:
      event.oif = networkOrder(attribute);
      break;
    case NFTA_TRACE_POLICY:
      event.verdict = networkOrder(attribute);
      break;
    case NFTA_TRACE_VERDICT: {
      const verdict = attribute.nested();
      while (verdict.next()) if (verdict.type === NFTA_VERDICT_CODE) event.verdict = networkOrder(verdict);
      break;
    }
  }
}

function networkOrder(attribute: AttributeReader): number {
  const value = attribute.u32();
  return (value >>> 24) | ((value >>> 8) & 0xff00) | ((value << 8) & 0xff0000) | (value << 24) | 0;
}
