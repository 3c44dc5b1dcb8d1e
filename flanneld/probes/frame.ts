// A VXLAN packet made by hand, as payload of an ordinary UDP socket (RFC 7348). It needs no right, and skips this node's routes,
// neighbours, FDB and the checksum offload of its tunnel device. So when it is answered and the kernel's own packet is not, the fault is on
// this node. Sent to the broadcast MAC, it is answered by a peer whose device has another MAC than its lease says.

import { type Ip, ipToBytes } from '../../lib/ip.ts';
import { type Mac, macToBytes } from '../../lib/mac.ts';
import { internetChecksum, viewOf } from '../../lib/packet-bytes.ts';

export const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff' as Mac;

const ETH_IPV4 = 0x0800;
const ETH_IPV6 = 0x86dd;
const ICMP = 1;
const UDP = 17;
const ICMPV6 = 58;
const HOP_LIMIT = 64;
const DONT_FRAGMENT = 0x4000;
const VXLAN_BYTES = 8;
/** Offset of the inner IP header, behind the VXLAN header and the Ethernet header. */
const IP_AT = VXLAN_BYTES + 14;
const IP_BYTES = { 4: 20, 6: 40 } as const;
const UDP_BYTES = 8;
const ECHO_BYTES = 16;

/** Sender or receiver of the inner packet. */
export interface FrameEnd {
  readonly mac: Mac;
  readonly ip: Ip;
}

export interface Ports {
  readonly from: number;
  readonly to: number;
}

/** A UDP packet for the peer's VXLAN port: VXLAN header, Ethernet frame, IP, UDP, payload. Both ends have the same family. */
export function udpFrame(vni: number, from: FrameEnd, to: FrameEnd, ports: Ports, payload: Uint8Array): Uint8Array {
  const udp = new Uint8Array(UDP_BYTES + payload.length);
  const view = new DataView(udp.buffer);
  view.setUint16(0, ports.from);
  view.setUint16(2, ports.to);
  view.setUint16(4, udp.length);
  udp.set(payload, UDP_BYTES);
  // IPv4 allows to omit the checksum. A computed checksum of 0 is sent as all ones.
  if (from.ip.family === 6) view.setUint16(6, internetChecksum(withPseudoHeader(UDP, from.ip, to.ip, udp)) || 0xffff);
  return frame(vni, from, to, UDP, udp);
}

/** The same packet with an ICMP echo request in it. */
export function echoFrame(vni: number, from: FrameEnd, to: FrameEnd, id: number, sequence: number): Uint8Array {
  const echo = new Uint8Array(ECHO_BYTES);
  const view = new DataView(echo.buffer);
  const is4 = from.ip.family === 4;
  echo[0] = is4 ? 8 : 128;
  view.setUint16(4, id);
  view.setUint16(6, sequence);
  view.setUint16(2, internetChecksum(is4 ? echo : withPseudoHeader(ICMPV6, from.ip, to.ip, echo)));
  return frame(vni, from, to, is4 ? ICMP : ICMPV6, echo);
}

/** Offset of the inner UDP payload in the packet. An ICMP error quotes the packet from its start. */
export function innerPayloadAt(family: 4 | 6): number {
  return IP_AT + IP_BYTES[family] + UDP_BYTES;
}

function frame(vni: number, from: FrameEnd, to: FrameEnd, protocol: number, body: Uint8Array): Uint8Array {
  const { family } = from.ip;
  const packet = new Uint8Array(IP_AT + IP_BYTES[family] + body.length);
  const view = new DataView(packet.buffer);
  // RFC 7348 §5: the flag says that the header has a VNI.
  packet[0] = 0x08;
  view.setUint32(4, vni * 256);
  packet.set(macToBytes(to.mac), VXLAN_BYTES);
  packet.set(macToBytes(from.mac), VXLAN_BYTES + 6);
  view.setUint16(VXLAN_BYTES + 12, family === 4 ? ETH_IPV4 : ETH_IPV6);
  packet.set(body, IP_AT + IP_BYTES[family]);
  if (family === 4) writeIpv4(packet.subarray(IP_AT), from.ip, to.ip, protocol);
  else writeIpv6(packet.subarray(IP_AT), from.ip, to.ip, protocol);
  return packet;
}

function writeIpv4(packet: Uint8Array, from: Ip, to: Ip, protocol: number): void {
  const view = viewOf(packet);
  packet[0] = 0x45;
  view.setUint16(2, packet.length);
  view.setUint16(6, DONT_FRAGMENT);
  packet[8] = HOP_LIMIT;
  packet[9] = protocol;
  packet.set(ipToBytes(from), 12);
  packet.set(ipToBytes(to), 16);
  view.setUint16(10, internetChecksum(packet.subarray(0, IP_BYTES[4])));
}

function writeIpv6(packet: Uint8Array, from: Ip, to: Ip, protocol: number): void {
  const view = viewOf(packet);
  packet[0] = 0x60;
  view.setUint16(4, packet.length - IP_BYTES[6]);
  packet[6] = protocol;
  packet[7] = HOP_LIMIT;
  packet.set(ipToBytes(from), 8);
  packet.set(ipToBytes(to), 24);
}

/** RFC 8200 §8.1: addresses, length, next header, then the packet. */
function withPseudoHeader(protocol: number, from: Ip, to: Ip, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(IP_BYTES[6] + body.length);
  bytes.set(ipToBytes(from), 0);
  bytes.set(ipToBytes(to), 16);
  new DataView(bytes.buffer).setUint32(32, body.length);
  bytes[39] = protocol;
  bytes.set(body, IP_BYTES[6]);
  return bytes;
}
