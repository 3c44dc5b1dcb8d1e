// A VXLAN packet made by hand, as payload of an ordinary UDP socket (RFC 7348): it needs no right and goes past this node's
// routes, neighbours and FDB, and past the checksum offload of its tunnel device. So when it is answered and the kernel's own
// packet is not, the fault is on this node; and with the broadcast MAC in it a peer answers whatever MAC its device has.

import { type Ip, ipToBytes } from '../../lib/ip.ts';
import { type Mac, macToBytes } from '../../lib/mac.ts';

export const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff' as Mac;

const ETH_IPV4 = 0x0800;
const ETH_IPV6 = 0x86dd;
const UDP = 17;
const HOP_LIMIT = 64;
const VXLAN_BYTES = 8;
const ETHERNET_BYTES = 14;
const UDP_BYTES = 8;

/** One end of the inner packet. */
export interface FrameEnd {
  readonly mac: Mac;
  readonly ip: Ip;
  readonly port: number;
}

/** The packet for the peer's VXLAN port: header, Ethernet frame, IP, UDP, payload. Both ends have one family. */
export function vxlanProbe(vni: number, from: FrameEnd, to: FrameEnd, payload: Uint8Array): Uint8Array {
  const start = innerPayloadAt(from.ip.family);
  const packet = new Uint8Array(start + payload.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x08;
  view.setUint32(4, vni * 256);
  packet.set(macToBytes(to.mac), VXLAN_BYTES);
  packet.set(macToBytes(from.mac), VXLAN_BYTES + 6);
  view.setUint16(VXLAN_BYTES + 12, from.ip.family === 4 ? ETH_IPV4 : ETH_IPV6);
  const ipAt = VXLAN_BYTES + ETHERNET_BYTES;
  const udpAt = start - UDP_BYTES;
  view.setUint16(udpAt, from.port);
  view.setUint16(udpAt + 2, to.port);
  view.setUint16(udpAt + 4, UDP_BYTES + payload.length);
  packet.set(payload, start);
  if (from.ip.family === 4) writeIpv4(packet, view, ipAt, from.ip, to.ip);
  else writeIpv6(packet, view, ipAt, from.ip, to.ip);
  return packet;
}

/** Where the inner UDP payload begins in the packet: an ICMP error about it quotes from its start. */
export function innerPayloadAt(family: 4 | 6): number {
  return VXLAN_BYTES + ETHERNET_BYTES + (family === 4 ? 20 : 40) + UDP_BYTES;
}

/** The UDP checksum stays 0, which IPv4 allows. */
function writeIpv4(packet: Uint8Array, view: DataView, at: number, from: Ip, to: Ip): void {
  packet[at] = 0x45;
  view.setUint16(at + 2, packet.length - at);
  view.setUint16(at + 6, 0x4000);
  packet[at + 8] = HOP_LIMIT;
  packet[at + 9] = UDP;
  packet.set(ipToBytes(from), at + 12);
  packet.set(ipToBytes(to), at + 16);
  view.setUint16(at + 10, checksum(packet.subarray(at, at + 20)));
}

function writeIpv6(packet: Uint8Array, view: DataView, at: number, from: Ip, to: Ip): void {
  const udpAt = at + 40;
  const length = packet.length - udpAt;
  view.setUint32(at, 0x60000000);
  view.setUint16(at + 4, length);
  packet[at + 6] = UDP;
  packet[at + 7] = HOP_LIMIT;
  packet.set(ipToBytes(from), at + 8);
  packet.set(ipToBytes(to), at + 24);
  // RFC 8200 §8.1: addresses, length, next header, then the UDP packet. A checksum of 0 is sent as all ones.
  const pseudo = new Uint8Array(40 + length);
  pseudo.set(packet.subarray(at + 8, at + 40), 0);
  new DataView(pseudo.buffer).setUint32(32, length);
  pseudo[39] = UDP;
  pseudo.set(packet.subarray(udpAt), 40);
  view.setUint16(udpAt + 6, checksum(pseudo) || 0xffff);
}

/** RFC 1071. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) + (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
