// WireGuard devices and their peers by generic netlink (linux/wireguard.h). The kernel sends no events for any of this.

import { addressBits, type Ip, type IpPrefix } from '../ip.ts';
import type { Netlink } from '../netlink/connection.ts';
import { NLM_F_DUMP } from '../netlink/constants.ts';
import type { AttributeReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import type { Mutable } from '../rtnetlink/spelling.ts';
import { GENLMSGHDR_BYTES, writeGenlmsghdr } from './genetlink.ts';

/** The name of the family. */
export const WIREGUARD_FAMILY = 'wireguard';
/** Bytes of a public, private or preshared key (RFC 7748 §5). */
export const WIREGUARD_KEY_BYTES = 32;

export interface Endpoint {
  readonly ip: Ip;
  readonly port: number;
}

/** A peer as it should be. */
export interface WireguardPeer {
  readonly publicKey: Uint8Array;
  /** All zero when there is none. */
  readonly presharedKey: Uint8Array;
  /** The address that packets to it are sent to; undefined leaves it unchanged. */
  readonly endpoint: Endpoint | undefined;
  /** 0 means off. */
  readonly keepaliveSec: number;
  /** The destinations of packets to it, and the only source addresses that are accepted from it. */
  readonly allowedIps: readonly IpPrefix[];
}

/** A peer as the kernel has it. */
export interface PresentWireguardPeer extends WireguardPeer {
  /** Unix time of the last handshake, 0 for never. */
  readonly handshakeSec: number;
  readonly rxBytes: number;
  readonly txBytes: number;
}

export interface WireguardDevice {
  readonly listenPort: number;
  /** Undefined when the device has no private key. */
  readonly publicKey: Uint8Array | undefined;
  readonly peers: readonly PresentWireguardPeer[];
}

const WG_CMD_GET_DEVICE = 0;
const WG_CMD_SET_DEVICE = 1;
const WG_VERSION = 1;

const WGDEVICE_A_IFINDEX = 1;
const WGDEVICE_A_PRIVATE_KEY = 3;
const WGDEVICE_A_PUBLIC_KEY = 4;
const WGDEVICE_A_LISTEN_PORT = 6;
const WGDEVICE_A_PEERS = 8;

const WGPEER_A_PUBLIC_KEY = 1;
const WGPEER_A_PRESHARED_KEY = 2;
const WGPEER_A_FLAGS = 3;
const WGPEER_A_ENDPOINT = 4;
const WGPEER_A_KEEPALIVE = 5;
const WGPEER_A_HANDSHAKE = 6;
const WGPEER_A_RX_BYTES = 7;
const WGPEER_A_TX_BYTES = 8;
const WGPEER_A_ALLOWEDIPS = 9;

const WGPEER_F_REMOVE_ME = 1;
const WGPEER_F_REPLACE_ALLOWEDIPS = 2;

const WGALLOWEDIP_A_FAMILY = 1;
const WGALLOWEDIP_A_IPADDR = 2;
const WGALLOWEDIP_A_CIDR_MASK = 3;

/** WireGuard refuses nested attributes without this flag (linux/netlink.h). */
const NLA_F_NESTED = 0x8000;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;

/** The device, and the family's message type from familyId(). */
export interface WireguardRef {
  readonly family: number;
  readonly index: number;
  readonly name: string;
}

/** Sets the private key and the UDP port. EADDRINUSE when the device is up and the port is taken. Same as: `wg set DEV …`. */
export function setWireguardDevice(
  ref: WireguardRef,
  device: { readonly privateKey: Uint8Array; readonly listenPort: number },
): NetlinkRequest {
  const command = `wg set ${ref.name} listen-port ${device.listenPort} private-key FILE`;
  return request(ref, `set wireguard ${ref.name} listen-port ${device.listenPort}`, command, (writer) => {
    writer.attrBytes(WGDEVICE_A_PRIVATE_KEY, device.privateKey);
    writer.attrU16(WGDEVICE_A_LISTEN_PORT, device.listenPort);
  });
}

/**
 * Makes or changes a peer. A prefix that another peer has moves to this one without an error. `spelled` names the peer in messages. With
 * `greets` the kernel begins a handshake at once, not with the first packet to the peer: it does so when it gets a keepalive interval and had
 * none, so the message sets the shortest one and then the wanted one. Same as: `wg set DEV peer KEY …`.
 */
export function setWireguardPeer(
  ref: WireguardRef,
  peer: WireguardPeer,
  spelled: string,
  greets = false,
): NetlinkRequest {
  const { publicKey, presharedKey, endpoint, keepaliveSec, allowedIps } = peer;
  const takesBack = greets && keepaliveSec === 0;
  return request(ref, `set wireguard ${ref.name} ${spelled}`, `wg set ${ref.name} ${spelled}`, (writer) => {
    writer.nest(WGDEVICE_A_PEERS | NLA_F_NESTED, () => {
      writer.nest(NLA_F_NESTED, () => {
        writer.attrBytes(WGPEER_A_PUBLIC_KEY, publicKey);
        writer.attrU32(WGPEER_A_FLAGS, WGPEER_F_REPLACE_ALLOWEDIPS);
        writer.attrBytes(WGPEER_A_PRESHARED_KEY, presharedKey);
        if (endpoint !== undefined) writer.attrBytes(WGPEER_A_ENDPOINT, sockaddr(endpoint));
        writer.attrU16(WGPEER_A_KEEPALIVE, takesBack ? 1 : keepaliveSec);
        writer.nest(WGPEER_A_ALLOWEDIPS | NLA_F_NESTED, () => {
          for (const prefix of allowedIps) writer.nest(NLA_F_NESTED, () => writeAllowedIp(writer, prefix));
        });
      });
      if (!takesBack) return;
      writer.nest(NLA_F_NESTED, () => {
        writer.attrBytes(WGPEER_A_PUBLIC_KEY, publicKey);
        writer.attrU16(WGPEER_A_KEEPALIVE, 0);
      });
    });
  });
}

/** Removes a peer; no error when there is none. Same as: `wg set DEV peer KEY remove`. */
export function removeWireguardPeer(ref: WireguardRef, publicKey: Uint8Array, spelled: string): NetlinkRequest {
  const text = `${ref.name} ${spelled} remove`;
  return request(ref, `set wireguard ${text}`, `wg set ${text}`, (writer) => {
    writer.nest(WGDEVICE_A_PEERS | NLA_F_NESTED, () => {
      writer.nest(NLA_F_NESTED, () => {
        writer.attrBytes(WGPEER_A_PUBLIC_KEY, publicKey);
        writer.attrU32(WGPEER_A_FLAGS, WGPEER_F_REMOVE_ME);
      });
    });
  });
}

function request(
  { family, index }: WireguardRef,
  text: string,
  command: string,
  write: (writer: MessageWriter) => void,
): NetlinkRequest {
  return {
    type: family,
    flags: 0,
    write(writer) {
      writeGenlmsghdr(writer, WG_CMD_SET_DEVICE, WG_VERSION);
      writer.attrU32(WGDEVICE_A_IFINDEX, index);
      write(writer);
    },
    describe: () => text,
    command: () => command,
  };
}

function writeAllowedIp(writer: MessageWriter, { ip, length }: IpPrefix): void {
  writer.attrU16(WGALLOWEDIP_A_FAMILY, ip.family === 4 ? AF_INET : AF_INET6);
  writer.attrIp(WGALLOWEDIP_A_IPADDR, ip);
  writer.attrU8(WGALLOWEDIP_A_CIDR_MASK, length);
}

/** struct sockaddr_in or sockaddr_in6: u16 family, be16 port, and for IPv6 u32 flow label before the address. */
function sockaddr({ ip, port }: Endpoint): Uint8Array {
  const bytes = new Uint8Array(ip.family === 4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, ip.family === 4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port);
  if (ip.family === 4) view.setUint32(4, Number(ip.value));
  else {
    view.setBigUint64(8, ip.value >> 64n);
    view.setBigUint64(16, ip.value & 0xffff_ffff_ffff_ffffn);
  }
  return bytes;
}

/** The device with all its peers. The kernel's answer contains the private key, so it must never be logged. Throws NetlinkError. */
export function getWireguardDevice(netlink: Netlink, { family, index, name }: WireguardRef): WireguardDevice {
  const device: Mutable<WireguardDevice> & { peers: PresentWireguardPeer[] } = {
    listenPort: 0,
    publicKey: undefined,
    peers: [],
  };
  const parts = netlink.dump(
    {
      type: family,
      flags: NLM_F_DUMP,
      write(writer) {
        writeGenlmsghdr(writer, WG_CMD_GET_DEVICE, WG_VERSION);
        writer.attrU32(WGDEVICE_A_IFINDEX, index);
      },
      describe: () => `get wireguard ${name}`,
    },
    (message) => decodePart(message.attributes(GENLMSGHDR_BYTES)),
  );
  for (const part of parts) {
    if (part.listenPort !== undefined) device.listenPort = part.listenPort;
    if (part.publicKey !== undefined) device.publicKey = part.publicKey;
    for (const peer of part.peers) addPeer(device.peers, peer);
  }
  return device;
}

/** When a message is full in the middle of a peer, the next message continues with this peer's key and the rest of its prefixes only. */
function addPeer(peers: PresentWireguardPeer[], peer: PresentWireguardPeer): void {
  const last = peers.at(-1);
  if (last === undefined || !sameBytes(last.publicKey, peer.publicKey)) {
    peers.push(peer);
    return;
  }
  peers[peers.length - 1] = { ...last, allowedIps: [...last.allowedIps, ...peer.allowedIps] };
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

interface Part {
  listenPort?: number;
  publicKey?: Uint8Array;
  peers: PresentWireguardPeer[];
}

function decodePart(attributes: AttributeReader): Part {
  const part: Part = { peers: [] };
  while (attributes.next()) {
    if (attributes.type === WGDEVICE_A_LISTEN_PORT) part.listenPort = attributes.u16();
    else if (attributes.type === WGDEVICE_A_PUBLIC_KEY) part.publicKey = attributes.copy();
    else if (attributes.type === WGDEVICE_A_PEERS) {
      const peers = attributes.nested();
      while (peers.next()) part.peers.push(decodePeer(peers.nested()));
    }
  }
  return part;
}

function decodePeer(attributes: AttributeReader): PresentWireguardPeer {
  const allowedIps: IpPrefix[] = [];
  const peer: Mutable<PresentWireguardPeer> = {
    publicKey: new Uint8Array(WIREGUARD_KEY_BYTES),
    presharedKey: new Uint8Array(WIREGUARD_KEY_BYTES),
    endpoint: undefined,
    keepaliveSec: 0,
    allowedIps,
    handshakeSec: 0,
    rxBytes: 0,
    txBytes: 0,
  };
  while (attributes.next()) decodePeerAttribute(attributes, peer, allowedIps);
  return peer;
}

function decodePeerAttribute(one: AttributeReader, peer: Mutable<PresentWireguardPeer>, allowedIps: IpPrefix[]): void {
  switch (one.type) {
    case WGPEER_A_PUBLIC_KEY:
      peer.publicKey = one.copy();
      break;
    case WGPEER_A_PRESHARED_KEY:
      peer.presharedKey = one.copy();
      break;
    case WGPEER_A_ENDPOINT:
      peer.endpoint = decodeEndpoint(one);
      break;
    case WGPEER_A_KEEPALIVE:
      peer.keepaliveSec = one.u16();
      break;
    case WGPEER_A_HANDSHAKE:
      peer.handshakeSec = one.u64();
      break;
    case WGPEER_A_RX_BYTES:
      peer.rxBytes = one.u64();
      break;
    case WGPEER_A_TX_BYTES:
      peer.txBytes = one.u64();
      break;
    case WGPEER_A_ALLOWEDIPS: {
      const prefixes = one.nested();
      while (prefixes.next()) decodeAllowedIp(prefixes.nested(), allowedIps);
      break;
    }
  }
}

function decodeEndpoint(attribute: AttributeReader): Endpoint | undefined {
  const family = attribute.u16();
  if (family === AF_INET) return { ip: attribute.ipAt(4, 4), port: attribute.view.getUint16(attribute.at + 2) };
  if (family === AF_INET6) return { ip: attribute.ipAt(8, 6), port: attribute.view.getUint16(attribute.at + 2) };
  return undefined;
}

function decodeAllowedIp(attributes: AttributeReader, into: IpPrefix[]): void {
  let ip: Ip | undefined;
  let length: number | undefined;
  while (attributes.next()) {
    if (attributes.type === WGALLOWEDIP_A_IPADDR) ip = attributes.ip();
    else if (attributes.type === WGALLOWEDIP_A_CIDR_MASK) length = attributes.u8();
  }
  if (ip !== undefined) into.push({ ip, length: length ?? addressBits(ip.family) });
}
