// ICMP echo packets (RFC 792): builds requests, and parses what a raw socket delivers, which begins with an IP header.

const ECHO_REPLY = 0;
const UNREACHABLE = 3;
const ECHO_REQUEST = 8;
const TIME_EXCEEDED = 11;
const HEADER_BYTES = 8;

export interface EchoReply {
  readonly identifier: number;
  readonly sequence: number;
  /** Set when a router or host answered that the packet cannot be delivered. */
  readonly failure?: string;
}

/** Builds an echo request with `payloadBytes` bytes after its header of 8 bytes. */
export function encodeEcho(identifier: number, sequence: number, payloadBytes: number): Uint8Array {
  const packet = new Uint8Array(HEADER_BYTES + payloadBytes);
  const view = new DataView(packet.buffer);
  view.setUint8(0, ECHO_REQUEST);
  view.setUint16(4, identifier);
  view.setUint16(6, sequence);
  for (let at = HEADER_BYTES; at < packet.length; at += 1) packet[at] = at & 0xff;
  view.setUint16(2, internetChecksum(packet));
  return packet;
}

/** Returns undefined for anything that is not an answer to an echo request. */
export function decodeReply(packet: Uint8Array): EchoReply | undefined {
  const icmp = payloadOfIp(packet);
  if (icmp === undefined) return undefined;
  const type = icmp.getUint8(0);
  if (type === ECHO_REPLY) return { identifier: icmp.getUint16(4), sequence: icmp.getUint16(6) };
  if (type !== UNREACHABLE && type !== TIME_EXCEEDED) return undefined;
  const original = payloadOfIp(
    new Uint8Array(icmp.buffer, icmp.byteOffset + HEADER_BYTES, icmp.byteLength - HEADER_BYTES),
  );
  if (original === undefined || original.getUint8(0) !== ECHO_REQUEST) return undefined;
  const from = [...packet.subarray(12, 16)].join('.');
  return {
    identifier: original.getUint16(4),
    sequence: original.getUint16(6),
    failure: `${failureWords(type, icmp.getUint8(1))}, says ${from}`,
  };
}

/** Returns what follows the IPv4 header, if it is at least a complete ICMP header. */
function payloadOfIp(packet: Uint8Array): DataView | undefined {
  const headerBytes = ((packet[0] ?? 0) & 0x0f) * 4;
  if (headerBytes < 20 || packet.length < headerBytes + HEADER_BYTES) return undefined;
  return new DataView(packet.buffer, packet.byteOffset + headerBytes, packet.length - headerBytes);
}

function failureWords(type: number, code: number): string {
  if (type === TIME_EXCEEDED) return 'time to live exceeded';
  const words = ['network unreachable', 'host unreachable', 'protocol unreachable', 'port unreachable', 'too big'];
  return words[code] ?? (code === 13 ? 'administratively filtered' : `unreachable, code ${code}`);
}

/** The checksum of RFC 1071: the one's complement of the one's complement sum of 16-bit words. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
