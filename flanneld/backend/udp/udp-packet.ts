// Forwarding of IPv4 packets for the udp backend: reads the destination, lowers the TTL, and makes the ICMP error when there
// is no route (RFC 791, RFC 792, RFC 1624). Pure functions of the given bytes.

import { internetChecksum, viewOf } from '../../../lib/packet-bytes.ts';

const PROTOCOL_ICMP = 1;
const HEADER_BYTES = 20;
const ICMP_HEADER_BYTES = 8;
/** How many bytes of the packet's data the ICMP error quotes. */
const QUOTED_BYTES = 8;
/** TTL of ICMP errors, as with flannel. */
const ERROR_TTL = 8;
const TTL_AT = 8;
const CHECKSUM_AT = 10;

export interface Ipv4Packet {
  /** Addresses as unsigned numbers. */
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly headerBytes: number;
  readonly isFirstFragment: boolean;
}

/** Undefined when the bytes are not a complete IPv4 packet. */
export function readIpv4(bytes: Uint8Array): Ipv4Packet | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  const first = view.getUint8(0);
  const headerBytes = (first & 0x0f) * 4;
  const totalBytes = view.getUint16(2);
  if (first >> 4 !== 4 || headerBytes < HEADER_BYTES || totalBytes < headerBytes || totalBytes > bytes.length) {
    return undefined;
  }
  return {
    source: view.getUint32(12),
    destination: view.getUint32(16),
    protocol: view.getUint8(9),
    headerBytes,
    isFirstFragment: (view.getUint16(6) & 0x1fff) === 0,
  };
}

/** Lowers the TTL in place and corrects the checksum; false when the TTL is used up. */
export function spendHop(bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  const ttl = view.getUint8(TTL_AT);
  if (ttl <= 1) return false;
  view.setUint8(TTL_AT, ttl - 1);
  // The TTL is the high byte of its 16-bit word. That word is now 0x0100 less, so the complement sum is 0x0100 more.
  const sum = view.getUint16(CHECKSUM_AT) + 0x0100;
  view.setUint16(CHECKSUM_AT, (sum & 0xffff) + (sum >> 16));
  return true;
}

/**
 * The ICMP error `network unreachable` for a packet; undefined for packets that get no error. Differs from flannel: its source
 * is the unreachable address, because the kernel refuses a packet from a device with this node's own address as source.
 */
export function netUnreachable(bytes: Uint8Array, packet: Ipv4Packet): Uint8Array | undefined {
  if (packet.protocol === PROTOCOL_ICMP || !packet.isFirstFragment) return undefined;
  const quoted = bytes.subarray(0, Math.min(bytes.length, packet.headerBytes + QUOTED_BYTES));
  const reply = new Uint8Array(HEADER_BYTES + ICMP_HEADER_BYTES + quoted.length);
  const view = viewOf(reply);
  view.setUint8(0, 0x45);
  view.setUint16(2, reply.length);
  view.setUint8(TTL_AT, ERROR_TTL);
  view.setUint8(9, PROTOCOL_ICMP);
  view.setUint32(12, packet.destination);
  view.setUint32(16, packet.source);
  view.setUint16(CHECKSUM_AT, internetChecksum(reply.subarray(0, HEADER_BYTES)));
  const icmp = reply.subarray(HEADER_BYTES);
  icmp[0] = 3; // destination unreachable; code 0: network
  icmp.set(quoted, ICMP_HEADER_BYTES);
  viewOf(icmp).setUint16(2, internetChecksum(icmp));
  return reply;
}
