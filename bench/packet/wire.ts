// Encodes the payload of the bench's packets, and the ICMP echo around it (RFC 792). A packet holds the number of the pod it is sent
// for and its own number, so that both ends agree on which packet was the first.

export interface Packet {
  /** The number of the pod it is sent for. */
  readonly run: number;
  readonly sequence: number;
}

export const ECHO_REQUEST = 8;
export const ECHO_REPLY = 0;

/** "weft" in ASCII. Other programs' pings do not have it. */
const MARK = 0x7765_6674;
const PACKET_BYTES = 56;
const ICMP_HEADER_BYTES = 8;
const IPV4_HEADER_BYTES = 20;

export function encodePacket({ run, sequence }: Packet): Buffer {
  const bytes = Buffer.alloc(PACKET_BYTES);
  bytes.writeUInt32BE(MARK, 0);
  bytes.writeUInt32BE(run, 4);
  bytes.writeUInt32BE(sequence, 8);
  return bytes;
}

/** Decodes a packet; undefined when the bench has not sent it. */
export function decodePacket(bytes: Buffer): Packet | undefined {
  if (bytes.length !== PACKET_BYTES || bytes.readUInt32BE(0) !== MARK) return undefined;
  return { run: bytes.readUInt32BE(4), sequence: bytes.readUInt32BE(8) };
}

/** An echo message. Request and reply have the same identifier; otherwise connection tracking would not match them. */
export function encodeEcho(type: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(ICMP_HEADER_BYTES + payload.length);
  bytes.writeUInt8(type, 0);
  const packet = decodePacket(payload);
  bytes.writeUInt16BE((packet?.run ?? 0) & 0xffff, 4);
  bytes.writeUInt16BE((packet?.sequence ?? 0) & 0xffff, 6);
  payload.copy(bytes, ICMP_HEADER_BYTES);
  bytes.writeUInt16BE(internetChecksum(bytes), 2);
  return bytes;
}

/** The payload of an echo message of that type, which a raw socket gives with its IPv4 header; undefined for other packets. */
export function decodeEcho(type: number, bytes: Buffer): Buffer | undefined {
  if (bytes.length < IPV4_HEADER_BYTES) return undefined;
  const header = (bytes.readUInt8(0) & 0xf) * 4;
  if (bytes.length < header + ICMP_HEADER_BYTES || bytes.readUInt8(header) !== type) return undefined;
  return bytes.subarray(header + ICMP_HEADER_BYTES);
}

/** The checksum of RFC 1071. Over a message that contains its correct checksum it is 0. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes.readUInt8(at) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
