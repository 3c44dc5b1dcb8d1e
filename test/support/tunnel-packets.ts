// Packets that a stranger makes by hand: frames as the kernel takes them out of VXLAN packets (RFC 7348). A namespace sends them
// from its own address, from a forged address, or as a frame on a link.

import { ipToBytes, parseIp } from '../../lib/ip.ts';
import { macToBytes, parseMac } from '../../lib/mac.ts';
import { internetChecksum } from '../../lib/packet-bytes.ts';

const VXLAN_PORT = 8472;
const ETH_IPV4 = 0x0800;
const ETH_ARP = 0x0806;
const ETH_IPV6 = 0x86dd;
const ICMPV6 = 58;

export interface Link {
  readonly from: string;
  readonly to: string;
}

/** Puts a frame behind a VXLAN header with this VNI. */
export function vxlan(frame: Buffer, vni = 1): Buffer {
  return Buffer.concat([Buffer.from([8, 0, 0, 0, vni >> 16, (vni >> 8) & 255, vni & 255, 0]), frame]);
}

function ethernet({ from, to }: Link, type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(14);
  header.set(macToBytes(parseMac(to)), 0);
  header.set(macToBytes(parseMac(from)), 6);
  header.writeUInt16BE(type, 12);
  return Buffer.concat([header, payload]);
}

export function arp(link: Link, op: 'request' | 'reply', from: string, to: string): Buffer {
  const body = Buffer.alloc(28);
  body.set([0, 1, 8, 0, 6, 4, 0, op === 'request' ? 1 : 2]);
  body.set(macToBytes(parseMac(link.from)), 8);
  body.set(address(from), 14);
  body.set(address(to), 24);
  return ethernet(link, ETH_ARP, body);
}

export function ipv4(link: Link, from: string, to: string, protocol: number, payload: Buffer): Buffer {
  return ethernet(link, ETH_IPV4, ipv4Packet(from, to, protocol, payload));
}

export function ipv4Packet(from: string, to: string, protocol: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(20);
  header.set([0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol]);
  header.writeUInt16BE(20 + payload.length, 2);
  header.set(address(from), 12);
  header.set(address(to), 16);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, payload]);
}

/** The UDP header has no checksum, which IPv4 allows. */
export function udp(port: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(40_000, 0);
  header.writeUInt16BE(port, 2);
  header.writeUInt16BE(8 + payload.length, 4);
  return Buffer.concat([header, payload]);
}

/** An ICMP redirect for a host (RFC 792): "send packets for `about` to `by`". It quotes a packet to `about`. */
export function icmpRedirect(by: string, quoted: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from([5, 1, 0, 0]), address(by), quoted]);
  body.writeUInt16BE(internetChecksum(body), 2);
  return body;
}

/** An ICMPv6 message. It has the hop limit that neighbour discovery requires; for MLD it is preceded by a router alert option. */
export function icmp6(link: Link, from: string, to: string, message: Buffer, isMld = false): Buffer {
  const alert = isMld ? Buffer.from([ICMPV6, 0, 5, 2, 0, 0, 1, 0]) : Buffer.alloc(0);
  const pseudo = Buffer.concat([address(from), address(to), Buffer.from([0, 0, 0, message.length, 0, 0, 0, ICMPV6])]);
  const body = Buffer.from(message);
  body.writeUInt16BE(internetChecksum(Buffer.concat([pseudo, body])), 2);
  const header = Buffer.alloc(8);
  header.writeUInt32BE(0x6000_0000, 0);
  header.writeUInt16BE(alert.length + body.length, 4);
  header.set([isMld ? 0 : ICMPV6, isMld ? 1 : 255], 6);
  return ethernet(link, ETH_IPV6, Buffer.concat([header, address(from), address(to), alert, body]));
}

/** A router advertisement (RFC 4861 §4.2): a default router for 1800 s, a prefix for addresses, and a route (RFC 4191). */
export function routerAdvertisement(mac: string, prefix: string): Buffer {
  const head = Buffer.from([134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
  const prefixOption = Buffer.concat([
    Buffer.from([3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    address(prefix),
  ]);
  return Buffer.concat([head, linkOption(1, mac), prefixOption]);
}

/** A redirect (RFC 4861 §4.5): "send packets for `about` to `by`". */
export function redirect6(by: string, about: string, mac: string): Buffer {
  return Buffer.concat([Buffer.from([137, 0, 0, 0, 0, 0, 0, 0]), address(by), address(about), linkOption(2, mac)]);
}

/** A neighbour solicitation: it asks for `target` and says which MAC the sender has. */
export function neighbourSolicitation(target: string, mac?: string): Buffer {
  const option = mac === undefined ? Buffer.alloc(0) : linkOption(1, mac);
  return Buffer.concat([Buffer.from([135, 0, 0, 0, 0, 0, 0, 0]), address(target), option]);
}

/** An unsolicited neighbour advertisement with the override flag: it says which MAC `target` has. */
export function neighbourAdvertisement(target: string, mac: string): Buffer {
  return Buffer.concat([Buffer.from([136, 0, 0, 0, 0x20, 0, 0, 0]), address(target), linkOption(2, mac)]);
}

export function routerSolicitation(mac: string): Buffer {
  return Buffer.concat([Buffer.from([133, 0, 0, 0, 0, 0, 0, 0]), linkOption(1, mac)]);
}

/** Messages of RFC 2710: a general query, and a report for a group. */
export function mld(type: 130 | 131 | 132, group = '::'): Buffer {
  return Buffer.concat([Buffer.from([type, 0, 0, 0, 0, 100, 0, 0]), address(group)]);
}

function linkOption(type: 1 | 2, mac: string): Buffer {
  return Buffer.concat([Buffer.from([type, 1]), macToBytes(parseMac(mac))]);
}

function address(text: string): Uint8Array {
  return ipToBytes(parseIp(text));
}

/** Returns a program that sends a datagram `times` times from an address that the sender has. */
export function sendUdp(from: string, to: string, payload: Buffer, times = 1): string[] {
  const family = to.includes(':') ? 'AF_INET6' : 'AF_INET';
  return python(
    'import socket',
    `s = socket.socket(socket.${family}, socket.SOCK_DGRAM)`,
    `s.bind((${JSON.stringify(from)}, 0))`,
    `for _ in range(${times}): s.sendto(bytes.fromhex("${payload.toString('hex')}"), (${JSON.stringify(to)}, ${VXLAN_PORT}))`,
  );
}

/** The same for IPv4 addresses that the sender does not have, by a raw socket. */
export function sendForged(froms: readonly string[], to: string, payload: Buffer): string[] {
  const packets = froms.map((from) => ipv4Packet(from, to, 17, udp(VXLAN_PORT, payload)).toString('hex'));
  return python(
    'import socket',
    's = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)',
    `for one in ${JSON.stringify(packets)}: s.sendto(bytes.fromhex(one), (${JSON.stringify(to)}, 0))`,
  );
}

/** Returns a program that sends a frame out of a device. */
export function sendFrame(device: string, frame: Buffer, times = 1): string[] {
  return python(
    'import socket',
    's = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)',
    `s.bind((${JSON.stringify(device)}, 0))`,
    `for _ in range(${times}): s.send(bytes.fromhex("${frame.toString('hex')}"))`,
  );
}

function python(...lines: readonly string[]): string[] {
  return ['python3', '-c', lines.join('\n')];
}
