// Makes a packet as a pod would send it, in VXLAN: UDP to the discard port (RFC 863), in Ethernet, after the eight bytes of the
// VXLAN header (RFC 7348 §5). It is sent as the payload of an ordinary UDP datagram, which needs no special right.

import { type Ip, ipToBytes } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';

export interface ProbePacket {
  readonly from: Ip;
  readonly to: Ip;
  /** MAC of the device that receives it. */
  readonly toMac: Mac;
}

/** By these ports a rule recognizes the packet. */
export const PROBE_SOURCE_PORT = 47_009;
export const PROBE_PORT = 9;

/** A MAC that no lease and no port has. */
const FROM_MAC = [0x0a, 0x77, 0x65, 0x66, 0x74, 0x00];
const UDP_BYTES = 8;
const IPPROTO_UDP = 17;
/** Enough for this node to forward it, and too few for any node after that. */
const HOPS = 2;

/** The payload for the UDP port of a VXLAN device with this VNI. */
export function vxlanProbe(vni: number, packet: ProbePacket): Uint8Array {
  const header = [0x08, 0, 0, 0, vni >>> 16, (vni >>> 8) & 0xff, vni & 0xff, 0];
  return Uint8Array.from([
    ...header,
    ...ethernet(packet),
    ...(packet.to.family === 4 ? ipv4(packet) : ipv6(packet)),
    ...udp(),
  ]);
}

function ethernet({ toMac, to }: ProbePacket): number[] {
  const type = to.family === 4 ? [0x08, 0x00] : [0x86, 0xdd];
  return [...toMac.split(':').map((byte) => Number.parseInt(byte, 16)), ...FROM_MAC, ...type];
}

/** RFC 791. */
function ipv4({ from, to }: ProbePacket): number[] {
  const length = 20 + UDP_BYTES;
  const header = [0x45, 0, 0, length, 0, 0, 0, 0, HOPS, IPPROTO_UDP, 0, 0, ...ipToBytes(from), ...ipToBytes(to)];
  const sum = checksum(header);
  header[10] = sum >> 8;
  header[11] = sum & 0xff;
  return header;
}

/** RFC 8200. */
function ipv6({ from, to }: ProbePacket): number[] {
  return [0x60, 0, 0, 0, 0, UDP_BYTES, IPPROTO_UDP, HOPS, ...ipToBytes(from), ...ipToBytes(to)];
}

/** A UDP header without checksum: nobody receives the packet, and connection tracking accepts it. */
function udp(): number[] {
  return [PROBE_SOURCE_PORT >> 8, PROBE_SOURCE_PORT & 0xff, 0, PROBE_PORT, 0, UDP_BYTES, 0, 0];
}

/** RFC 1071. */
function checksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
