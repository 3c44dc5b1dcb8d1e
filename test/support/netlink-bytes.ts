// Shows netlink messages as text, for tests that compare bytes: what a request writes, and replies made from hexadecimal text.

import { AttributeReader, MessageReader } from '../../lib/netlink/reader.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { MessageWriter } from '../../lib/netlink/writer.ts';

/** Returns in hexadecimal what a request writes after the message header. */
export function payloadHex(request: Pick<NetlinkRequest, 'write'>): string {
  const bytes = new Uint8Array(4096);
  const writer = new MessageWriter(bytes);
  writer.begin(0, 0, 0);
  request.write(writer);
  writer.end();
  return toHex(bytes.subarray(16, writer.length));
}

/** Returns a message of that type with that payload. Its cursor is at the payload's start. */
export function messageOf(type: number, write: (writer: MessageWriter) => void, flags = 0): MessageReader {
  const bytes = new Uint8Array(4096);
  const writer = new MessageWriter(bytes);
  writer.begin(type, flags, 1);
  write(writer);
  writer.end();
  const message = new MessageReader(bytes.slice(0, writer.length));
  message.next();
  return message;
}

export function messageFromHex(type: number, payload: string): MessageReader {
  return messageOf(type, (writer) => {
    for (const byte of fromHex(payload)) writer.u8(byte);
  });
}

/** Returns the attributes in `bytes` from `start` on. */
export function attributesOf(bytes: Uint8Array, start = 0): AttributeReader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  return new AttributeReader(bytes, view, words, start, bytes.length);
}

/** Returns the fixed structure and then the attributes, sorted by type, because tools send them in the order of their arguments. */
export function sortedPayload(payload: string, structBytes: number): string {
  const bytes = fromHex(payload);
  return `${toHex(bytes.subarray(0, structBytes))} ${sorted(attributesOf(bytes, structBytes))}`;
}

/** The types IFLA_LINKINFO and IFLA_INFO_DATA, whose payloads are attributes. */
const NESTED = new Set(['18', '18.2', '18.5']);

function sorted(attributes: AttributeReader, path = ''): string {
  const found: string[] = [];
  while (attributes.next()) {
    const type = path + attributes.type;
    const nested = NESTED.has(type);
    found.push(`${type}=${nested ? `{${sorted(attributes.nested(), `${type}.`)}}` : toHex(attributes.copy())}`);
  }
  return found.sort().join(' ');
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}
