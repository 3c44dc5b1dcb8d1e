// What the bench's packets carry, and the ICMP echo around it: RFC 792. A packet names the pod it is sent for and its
// number, so that the two ends agree on which one was the first.

export interface Packet {
  /** The pod it is sent for. */
  readonly run: number;
  readonly sequence: number;
}

export const ECHO_REQUEST = 8;
export const ECHO_REPLY = 0;

/** "weft": other people's pings have no such payload. */
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

/** Undefined for what the bench has not sent. */
export function decodePacket(bytes: Buffer): Packet | undefined {
  if (bytes.length !== PACKET_BYTES || bytes.readUInt32BE(0) !== MARK) return undefined;
  return { run: bytes.readUInt32BE(4), sequence: bytes.readUInt32BE(8) };
}

/** An echo message; request and reply have one identifier, or connection tracking takes the reply for a stray. */
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

/** The payload of an echo message of that type as a raw socket gives it, behind its IPv4 header; undefined for others. */
export function decodeEcho(type: number, bytes: Buffer): Buffer | undefined {
  if (bytes.length < IPV4_HEADER_BYTES) return undefined;
  const header = (bytes.readUInt8(0) & 0xf) * 4;
  if (bytes.length < header + ICMP_HEADER_BYTES || bytes.readUInt8(header) !== type) return undefined;
  return bytes.subarray(header + ICMP_HEADER_BYTES);
}

/** RFC 1071; 0 over a message that holds its own. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes.readUInt8(at) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
