// Reads what nftables has counted (linux/netfilter/nf_tables.h): named counters, and elements that rules add to sets, each with a counter
// and a time after which it is removed. Numbers are big-endian; packet counts above 2^53 lose precision.

import type { Netlink } from '../netlink/connection.ts';
import { NLM_F_DUMP } from '../netlink/constants.ts';
import type { AttributeReader, MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import { dumpElements, type SetRef } from './elements.ts';
import { be32 } from './netfilter-socket.ts';
import {
  NFT_MSG_GETOBJ,
  NFT_OBJECT_COUNTER,
  NFTA_COUNTER_PACKETS,
  NFTA_DATA_VALUE,
  NFTA_EXPR_DATA,
  NFTA_EXPR_NAME,
  NFTA_OBJ_DATA,
  NFTA_OBJ_NAME,
  NFTA_OBJ_TABLE,
  NFTA_OBJ_TYPE,
  NFTA_SET_ELEM_EXPIRATION,
  NFTA_SET_ELEM_EXPR,
  NFTA_SET_ELEM_KEY,
} from './nf-tables-constants.ts';
import { ABSENT, NFGENMSG_BYTES, spellTable, type Table, writeNfgenmsg } from './nftables.ts';

export interface CountedElement {
  readonly key: Uint8Array;
  readonly packets: number;
  /** Milliseconds until it is removed. */
  readonly leftMs: number;
}

/** Packets by counter; empty when there is no such table. Same as: `nft list counters table FAMILY NAME`. */
export function listCounters(netlink: Netlink, table: Table): Map<string, number> {
  const request: NetlinkRequest = {
    type: NFT_MSG_GETOBJ,
    flags: NLM_F_DUMP,
    write(writer) {
      writeNfgenmsg(writer, table);
      writer.attrText(NFTA_OBJ_TABLE, table.name);
      writer.attrBytes(NFTA_OBJ_TYPE, be32(NFT_OBJECT_COUNTER));
    },
    describe: () => `list counters of ${spellTable(table)}`,
  };
  return new Map(netlink.dump(request, (message) => decodeCounter(message, table), ABSENT));
}

function decodeCounter(message: MessageReader, table: Table): [string, number] | undefined {
  let [name, of, packets] = ['', '', 0];
  const attributes = message.attributes(NFGENMSG_BYTES);
  while (attributes.next()) {
    if (attributes.type === NFTA_OBJ_NAME) name = attributes.text();
    else if (attributes.type === NFTA_OBJ_TABLE) of = attributes.text();
    else if (attributes.type === NFTA_OBJ_DATA) packets = packetsIn(attributes.nested());
  }
  // A kernel that does not filter sends the objects of every table.
  return of === table.name ? [name, packets] : undefined;
}

/** Elements that rules have added to a set; empty when there is no such set. Same as: `nft list set FAMILY TABLE SET`. */
export function listCounted(netlink: Netlink, ref: SetRef): CountedElement[] {
  return dumpElements(netlink, ref, decodeElement);
}

function decodeElement(attributes: AttributeReader): CountedElement {
  let [key, packets, leftMs] = [new Uint8Array(0), 0, 0];
  while (attributes.next()) {
    if (attributes.type === NFTA_SET_ELEM_KEY) key = new Uint8Array(valueIn(attributes.nested()));
    else if (attributes.type === NFTA_SET_ELEM_EXPIRATION) leftMs = u64be(attributes);
    else if (attributes.type === NFTA_SET_ELEM_EXPR) packets = expressionPackets(attributes.nested());
  }
  return { key, packets, leftMs };
}

function valueIn(attributes: AttributeReader): Uint8Array {
  while (attributes.next()) if (attributes.type === NFTA_DATA_VALUE) return attributes.copy();
  return new Uint8Array(0);
}

/** 0 for an expression that is not a counter. */
function expressionPackets(attributes: AttributeReader): number {
  let [name, packets] = ['', 0];
  while (attributes.next()) {
    if (attributes.type === NFTA_EXPR_NAME) name = attributes.text();
    else if (attributes.type === NFTA_EXPR_DATA) packets = packetsIn(attributes.nested());
  }
  return name === 'counter' ? packets : 0;
}

function packetsIn(attributes: AttributeReader): number {
  while (attributes.next()) if (attributes.type === NFTA_COUNTER_PACKETS) return u64be(attributes);
  return 0;
}

function u64be(attributes: AttributeReader): number {
  return attributes.length === 8 ? Number(attributes.view.getBigUint64(attributes.at, false)) : 0;
}
