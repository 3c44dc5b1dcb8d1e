// Reads what nftables contains (linux/netfilter/nf_tables.h): tables, chains, names of sets, and the chain, handle and comment of each
// rule. Rules are made by nft(8), in its language.

import type { Netlink } from '../netlink/connection.ts';
import { NLM_F_DUMP } from '../netlink/constants.ts';
import type { AttributeReader, MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { EINVAL, ENOENT, EOPNOTSUPP } from '../sys/errno.ts';
import {
  NFPROTO_ARP,
  NFPROTO_INET,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  NFPROTO_UNSPEC,
  NFT_MSG_DELCHAIN,
  NFT_MSG_DELRULE,
  NFT_MSG_GETCHAIN,
  NFT_MSG_GETGEN,
  NFT_MSG_GETRULE,
  NFT_MSG_GETSET,
  NFT_MSG_GETTABLE,
  NFTA_CHAIN_NAME,
  NFTA_CHAIN_TABLE,
  NFTA_GEN_ID,
  NFTA_RULE_CHAIN,
  NFTA_RULE_HANDLE,
  NFTA_RULE_TABLE,
  NFTA_RULE_USERDATA,
  NFTA_SET_NAME,
  NFTA_SET_TABLE,
  NFTA_TABLE_NAME,
  NFTNL_UDATA_COMMENT,
} from './nf-tables-constants.ts';

export interface Table {
  readonly family: 'inet' | 'ip' | 'ip6' | 'arp';
  readonly name: string;
}

export interface Rule {
  readonly chain: string;
  readonly handle: bigint;
  /** '' without a comment. */
  readonly comment: string;
}

/** No such object, or a kernel without nftables (EINVAL: no such subsystem). */
export const ABSENT: readonly number[] = [ENOENT, EINVAL, EOPNOTSUPP];

export const NFGENMSG_BYTES = 4;

const FAMILY_NUMBERS = { inet: NFPROTO_INET, ip: NFPROTO_IPV4, ip6: NFPROTO_IPV6, arp: NFPROTO_ARP } as const;

/** struct nfgenmsg: u8 family, u8 version, be16 res_id. */
export function writeNfgenmsg(writer: MessageWriter, table?: Table): void {
  writer.u32(table === undefined ? NFPROTO_UNSPEC : FAMILY_NUMBERS[table.family]);
}

/** As nft spells it: `inet weft_portmap`. */
export function spellTable(table: Table): string {
  return `${table.family} ${table.name}`;
}

function question(
  type: number,
  object: string,
  table: Table | undefined,
  names: readonly (readonly [type: number, name: string])[],
): NetlinkRequest {
  return {
    type,
    flags: 0,
    write(writer) {
      writeNfgenmsg(writer, table);
      for (const [attribute, name] of names) writer.attrText(attribute, name);
    },
    describe: () => `get ${object}`,
  };
}

/** The number of the current rule set. Every transaction of any program changes it. Same as: `nft monitor` after a change. */
export function readGeneration(netlink: Netlink): number {
  const request = question(NFT_MSG_GETGEN, 'ruleset generation', undefined, []);
  const generation = netlink.get(request, (message) => {
    const attributes = message.attributes(NFGENMSG_BYTES);
    while (attributes.next()) {
      if (attributes.type === NFTA_GEN_ID) return attributes.view.getUint32(attributes.at, false);
    }
    return 0;
  });
  return generation ?? 0;
}

/** Whether the kernel has nftables at all. */
export function hasNftables(netlink: Netlink): boolean {
  const request = question(NFT_MSG_GETGEN, 'ruleset generation', undefined, []);
  return netlink.get(request, () => true, ABSENT) ?? false;
}

/** Same as: `nft list table FAMILY NAME`. */
export function hasTable(netlink: Netlink, table: Table): boolean {
  const request = question(NFT_MSG_GETTABLE, `table ${spellTable(table)}`, table, [[NFTA_TABLE_NAME, table.name]]);
  return netlink.get(request, () => true, ABSENT) ?? false;
}

/** Same as: `nft list chain FAMILY TABLE NAME`. */
export function hasChain(netlink: Netlink, table: Table, chain: string): boolean {
  const request = question(NFT_MSG_GETCHAIN, `chain ${spellTable(table)} ${chain}`, table, [
    [NFTA_CHAIN_TABLE, table.name],
    [NFTA_CHAIN_NAME, chain],
  ]);
  return netlink.get(request, () => true, ABSENT) ?? false;
}

/** Names of a table's sets and maps; empty when there is no such table. Same as: `nft list sets table …`. */
export function listSets(netlink: Netlink, table: Table): string[] {
  const request = question(NFT_MSG_GETSET, `sets of ${spellTable(table)}`, table, [[NFTA_SET_TABLE, table.name]]);
  return netlink.dump(dumping(request), (message) => textAttribute(message, NFTA_SET_NAME), ABSENT);
}

/** A table's rules in order; empty when there is no such table. Same as: `nft -a list table FAMILY NAME`. */
export function listRules(netlink: Netlink, table: Table): Rule[] {
  const request = question(NFT_MSG_GETRULE, `rules of ${spellTable(table)}`, table, [[NFTA_RULE_TABLE, table.name]]);
  return netlink.dump(dumping(request), (message) => decodeRule(message, table), ABSENT);
}

function dumping(request: NetlinkRequest): NetlinkRequest {
  return { ...request, flags: NLM_F_DUMP };
}

function decodeRule(message: MessageReader, table: Table): Rule | undefined {
  let [chain, handle, comment, name] = ['', 0n, '', ''];
  const attributes = message.attributes(NFGENMSG_BYTES);
  while (attributes.next()) {
    if (attributes.type === NFTA_RULE_CHAIN) chain = attributes.text();
    else if (attributes.type === NFTA_RULE_TABLE) name = attributes.text();
    else if (attributes.type === NFTA_RULE_USERDATA) comment = decodeComment(attributes);
    else if (attributes.type === NFTA_RULE_HANDLE && attributes.length === 8) {
      handle = attributes.view.getBigUint64(attributes.at, false);
    }
  }
  // A kernel that does not filter sends the objects of every table.
  return name === table.name ? { chain, handle, comment } : undefined;
}

function textAttribute(message: MessageReader, type: number): string | undefined {
  const attributes = message.attributes(NFGENMSG_BYTES);
  while (attributes.next()) if (attributes.type === type) return attributes.text();
  return undefined;
}

/** Returns the comment in libnftnl's userdata; '' when there is none or the data is malformed. */
export function decodeComment(userdata: AttributeReader): string {
  const { bytes } = userdata;
  const end = userdata.at + userdata.length;
  for (let at = userdata.at; at + 2 <= end; ) {
    const length = bytes[at + 1] ?? 0;
    if (bytes[at] === NFTNL_UDATA_COMMENT && at + 2 + length <= end) return asciiText(bytes, at + 2, at + 2 + length);
    at += 2 + length;
  }
  return '';
}

function asciiText(bytes: Uint8Array, from: number, to: number): string {
  let text = '';
  for (let at = from; at < to; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0) break;
    text += byte < 0x80 ? String.fromCharCode(byte) : '?';
  }
  return text;
}

/** Part of a transaction. Same as: `nft delete rule FAMILY TABLE CHAIN handle N`. */
export function deleteRule(table: Table, rule: Rule): NetlinkRequest {
  const spelled = `rule ${spellTable(table)} ${rule.chain} handle ${rule.handle}`;
  return {
    type: NFT_MSG_DELRULE,
    flags: 0,
    write(writer) {
      writeNfgenmsg(writer, table);
      writer.attrText(NFTA_RULE_TABLE, table.name);
      writer.attrText(NFTA_RULE_CHAIN, rule.chain);
      const handle = new Uint8Array(8);
      new DataView(handle.buffer).setBigUint64(0, rule.handle, false);
      writer.attrBytes(NFTA_RULE_HANDLE, handle);
    },
    describe: () => `delete ${spelled}`,
    command: () => `nft delete ${spelled}`,
  };
}

/**
 * Deletes a chain with its rules, as a part of a transaction. Fails with EBUSY while a rule leads there. Same as: `nft delete chain
 * FAMILY TABLE NAME`.
 */
export function deleteChain(table: Table, name: string): NetlinkRequest {
  const spelled = `chain ${spellTable(table)} ${name}`;
  return {
    type: NFT_MSG_DELCHAIN,
    flags: 0,
    write(writer) {
      writeNfgenmsg(writer, table);
      writer.attrText(NFTA_CHAIN_TABLE, table.name);
      writer.attrText(NFTA_CHAIN_NAME, name);
    },
    describe: () => `delete ${spelled}`,
    command: () => `nft delete ${spelled}`,
  };
}
