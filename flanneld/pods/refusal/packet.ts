// Makes a packet as a pod would send it, in VXLAN: UDP to the discard port (RFC 863), or to another port by UDP or TCP (a SYN), in
// Ethernet, after the eight bytes of the VXLAN header (RFC 7348 §5). It is sent as the payload of an ordinary UDP datagram, which needs no special right.

import { type Ip, ipToBytes } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import { internetChecksum } from '../../../lib/packet-bytes.ts';

export interface ProbePacket {
  readonly from: Ip;
  readonly to: Ip;
  /** MAC of the device that receives it. */
  readonly toMac: Mac;
  /** UDP from PROBE_SOURCE_PORT to PROBE_PORT when absent. */
  readonly transport?: Transport;
  /** TTL or hop limit. When absent, enough for one node to forward it, and too few for any node after that. */
  readonly hops?: number;
}

export interface Transport {
  readonly protocol: 'udp' | 'tcp';
  readonly sourcePort: number;
  readonly port: number;
}

/** The ports by which a rule recognizes the packet. */
export const PROBE_SOURCE_PORT = 47_009;
export const PROBE_PORT = 9;

/** A MAC that no lease and no port has. */
const FROM_MAC = [0x0a, 0x77, 0x65, 0x66, 0x74, 0x00];
const PROBE_TRANSPORT: Transport = { protocol: 'udp', sourcePort: PROBE_SOURCE_PORT, port: PROBE_PORT };
const UDP_BYTES = 8;
const TCP_BYTES = 20;
const IPPROTO_UDP = 17;
const IPPROTO_TCP = 6;
const TCP_SYN = 0x02;
const HOPS = 2;

/** The payload for the UDP port of a VXLAN device with this VNI. */
export function vxlanProbe(vni: number, packet: ProbePacket): Uint8Array {
  const header = [0x08, 0, 0, 0, vni >>> 16, (vni >>> 8) & 0xff, vni & 0xff, 0];
  const transport = packet.transport ?? PROBE_TRANSPORT;
  const isTcp = transport.protocol === 'tcp';
  const segment = isTcp ? tcpSyn(packet, transport) : udp(transport);
  const protocol = isTcp ? IPPROTO_TCP : IPPROTO_UDP;
  const ip = packet.to.family === 4 ? ipv4(packet, protocol, segment.length) : ipv6(packet, protocol, segment.length);
  return Uint8Array.from([...header, ...ethernet(packet), ...ip, ...segment]);
}

function ethernet({ toMac, to }: ProbePacket): number[] {
  const type = to.family === 4 ? [0x08, 0x00] : [0x86, 0xdd];
  return [...toMac.split(':').map((byte) => Number.parseInt(byte, 16)), ...FROM_MAC, ...type];
}

/** RFC 791. */
function ipv4({ from, to, hops = HOPS }: ProbePacket, protocol: number, bytes: number): number[] {
  const header = [0x45, 0, 0, 20 + bytes, 0, 0, 0, 0, hops, protocol, 0, 0, ...ipToBytes(from), ...ipToBytes(to)];
  const sum = internetChecksum(header);
  header[10] = sum >> 8;
  header[11] = sum & 0xff;
  return header;
}

/** RFC 8200. */
function ipv6({ from, to, hops = HOPS }: ProbePacket, protocol: number, bytes: number): number[] {
  return [0x60, 0, 0, 0, 0, bytes, protocol, hops, ...ipToBytes(from), ...ipToBytes(to)];
}

/** A UDP header without checksum: nobody receives the packet, and connection tracking accepts it. */
function udp({ sourcePort, port }: Transport): number[] {
  return [...twoBytes(sourcePort), ...twoBytes(port), 0, UDP_BYTES, 0, 0];
}

/** The first packet of a TCP connection (RFC 9293). Its checksum must be right, or connection tracking calls it invalid. */
function tcpSyn({ from, to }: ProbePacket, { sourcePort, port }: Transport): number[] {
  const flags = [(TCP_BYTES / 4) << 4, TCP_SYN];
  const header = [...twoBytes(sourcePort), ...twoBytes(port), 0, 0, 0, 1, 0, 0, 0, 0, ...flags, 0xff, 0xff, 0, 0, 0, 0];
  const sum = internetChecksum([...ipToBytes(from), ...ipToBytes(to), 0, IPPROTO_TCP, 0, TCP_BYTES, ...header]);
  header[16] = sum >> 8;
  header[17] = sum & 0xff;
  return header;
}

function twoBytes(value: number): [number, number] {
  return [value >> 8, value & 0xff];
}
