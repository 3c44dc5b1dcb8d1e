// Elements of nftables sets and maps (NFTA_SET_ELEM_… in linux/netfilter/nf_tables.h): gets one by its key, lists, adds and deletes
// them. Keys and data are bytes; each part of a concatenation is padded to four bytes.

import type { Netlink } from '../netlink/connection.ts';
import { NLA_F_NESTED, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL } from '../netlink/constants.ts';
import type { AttributeReader, MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { be32 } from './netfilter-socket.ts';
import {
  NFT_JUMP,
  NFT_MSG_DELSETELEM,
  NFT_MSG_GETSETELEM,
  NFT_MSG_NEWSETELEM,
  NFTA_DATA_VALUE,
  NFTA_DATA_VERDICT,
  NFTA_LIST_ELEM,
  NFTA_SET_ELEM_DATA,
  NFTA_SET_ELEM_KEY,
  NFTA_SET_ELEM_LIST_ELEMENTS,
  NFTA_SET_ELEM_LIST_SET,
  NFTA_SET_ELEM_LIST_TABLE,
  NFTA_SET_ELEM_USERDATA,
  NFTA_VERDICT_CHAIN,
  NFTA_VERDICT_CODE,
  NFTNL_UDATA_COMMENT,
} from './nf-tables-constants.ts';
import { ABSENT, decodeComment, NFGENMSG_BYTES, spellTable, type Table, writeNfgenmsg } from './nftables.ts';

/** An element of `set`. An element of a set has no data; that of a verdict map has a chain to which the rule jumps. */
export interface SetElement {
  readonly key: Uint8Array;
  readonly data?: Uint8Array | { readonly jump: string };
  /** ASCII, at most 128 characters; '' without a comment. */
  readonly comment: string;
}

/** The set, and how error messages write one of its elements. */
export interface SetRef {
  readonly table: Table;
  readonly set: string;
}

/** Part of a transaction; EEXIST when the key is taken. Same as: `nft create element …`. */
export function addElement(ref: SetRef, element: SetElement, spelled: string): NetlinkRequest {
  return {
    type: NFT_MSG_NEWSETELEM,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write: (writer) =>
      writeList(writer, ref, () => {
        writeKey(writer, element.key);
        writeData(writer, element.data);
        if (element.comment !== '') writer.attrBytes(NFTA_SET_ELEM_USERDATA, encodeComment(element.comment));
      }),
    describe: () => `add element ${spellSet(ref)} { ${spelled} }`,
  };
}

/** Part of a transaction; ENOENT when there is no such element. Same as: `nft delete element …`. */
export function deleteElement(ref: SetRef, key: Uint8Array, spelled: string): NetlinkRequest {
  return {
    type: NFT_MSG_DELSETELEM,
    flags: 0,
    write: (writer) => writeList(writer, ref, () => writeKey(writer, key)),
    describe: () => `delete element ${spellSet(ref)} { ${spelled} }`,
  };
}

/** The element with that key; undefined when there is none, or no such set. Same as: `nft get element …`. */
export function getElement(netlink: Netlink, ref: SetRef, key: Uint8Array): SetElement | undefined {
  const request: NetlinkRequest = {
    type: NFT_MSG_GETSETELEM,
    flags: 0,
    write: (writer) => writeList(writer, ref, () => writeKey(writer, key)),
    describe: () => `get element of ${spellSet(ref)}`,
  };
  return netlink.get(request, (message) => decodeElements(message, decodeElement)[0], ABSENT);
}

/** All elements of a set; empty when there is no such set. Same as: `nft list set …`. */
export function listElements(netlink: Netlink, ref: SetRef): SetElement[] {
  return dumpElements(netlink, ref, decodeElement);
}

/** All elements of a set, each as `decode` reads it; empty when there is no such set. */
export function dumpElements<T>(netlink: Netlink, ref: SetRef, decode: (element: AttributeReader) => T): T[] {
  const request: NetlinkRequest = {
    type: NFT_MSG_GETSETELEM,
    flags: NLM_F_DUMP,
    write(writer) {
      writeNfgenmsg(writer, ref.table);
      writer.attrText(NFTA_SET_ELEM_LIST_TABLE, ref.table.name);
      writer.attrText(NFTA_SET_ELEM_LIST_SET, ref.set);
    },
    describe: () => `list elements of ${spellSet(ref)}`,
  };
  return netlink.dump(request, (message) => decodeElements(message, decode), ABSENT).flat();
}

function spellSet({ table, set }: SetRef): string {
  return `${spellTable(table)} ${set}`;
}

function writeList(writer: MessageWriter, ref: SetRef, element: () => void): void {
  writeNfgenmsg(writer, ref.table);
  writer.attrText(NFTA_SET_ELEM_LIST_TABLE, ref.table.name);
  writer.attrText(NFTA_SET_ELEM_LIST_SET, ref.set);
  writer.nest(NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED, () => {
    writer.nest(NFTA_LIST_ELEM | NLA_F_NESTED, element);
  });
}

function writeKey(writer: MessageWriter, key: Uint8Array): void {
  writer.nest(NFTA_SET_ELEM_KEY | NLA_F_NESTED, () => writer.attrBytes(NFTA_DATA_VALUE, key));
}

function writeData(writer: MessageWriter, data: SetElement['data']): void {
  if (data === undefined) return;
  writer.nest(NFTA_SET_ELEM_DATA | NLA_F_NESTED, () => {
    if (data instanceof Uint8Array) {
      writer.attrBytes(NFTA_DATA_VALUE, data);
      return;
    }
    writer.nest(NFTA_DATA_VERDICT | NLA_F_NESTED, () => {
      writer.attrBytes(NFTA_VERDICT_CODE, be32(NFT_JUMP));
      writer.attrText(NFTA_VERDICT_CHAIN, data.jump);
    });
  });
}

/** u8 type, u8 length, text and its NUL. */
function encodeComment(comment: string): Uint8Array {
  const bytes = new Uint8Array(comment.length + 3);
  bytes[0] = NFTNL_UDATA_COMMENT;
  bytes[1] = comment.length + 1;
  for (let at = 0; at < comment.length; at++) bytes[at + 2] = comment.charCodeAt(at);
  return bytes;
}

/** A message carries as many elements as fit. */
function decodeElements<T>(message: MessageReader, decode: (element: AttributeReader) => T): T[] {
  const elements: T[] = [];
  const attributes = message.attributes(NFGENMSG_BYTES);
  while (attributes.next()) {
    if (attributes.type !== NFTA_SET_ELEM_LIST_ELEMENTS) continue;
    const list = attributes.nested();
    while (list.next()) if (list.type === NFTA_LIST_ELEM) elements.push(decode(list.nested()));
  }
  return elements;
}

function decodeElement(attributes: AttributeReader): SetElement {
  let key = new Uint8Array(0);
  let data: SetElement['data'];
  let comment = '';
  while (attributes.next()) {
    if (attributes.type === NFTA_SET_ELEM_USERDATA) comment = decodeComment(attributes);
    else if (attributes.type === NFTA_SET_ELEM_DATA) data = decodeData(attributes.nested());
    else if (attributes.type === NFTA_SET_ELEM_KEY) {
      const value = decodeData(attributes.nested());
      if (value instanceof Uint8Array) key = new Uint8Array(value);
    }
  }
  return data === undefined ? { key, comment } : { key, data, comment };
}

function decodeData(attributes: AttributeReader): SetElement['data'] {
  while (attributes.next()) {
    if (attributes.type === NFTA_DATA_VALUE) return attributes.copy();
    if (attributes.type === NFTA_DATA_VERDICT) return { jump: decodeVerdict(attributes.nested()) };
  }
  return undefined;
}

function decodeVerdict(attributes: AttributeReader): string {
  while (attributes.next()) if (attributes.type === NFTA_VERDICT_CHAIN) return attributes.text();
  return '';
}
