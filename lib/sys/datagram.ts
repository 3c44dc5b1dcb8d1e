// UDP sockets with what plain sockets do not tell: the ICMP error that came back and who sent it, when the
// kernel received a packet, and by which device: udp(7), ip(7), ipv6(7), recvmsg(2), linux/errqueue.h. Nothing here waits.

import { type Family, type Ip, ipFromBytes, ipToBytes } from '../ip.ts';
import { viewOf } from '../packet-bytes.ts';
import type { Slot } from './arena.ts';
import { EAGAIN } from './errno.ts';
import { closeFd } from './file.ts';
import { MSG_DONTWAIT, openSocket, SOCK_NONBLOCK, SOL_SOCKET, setSocketOption } from './socket.ts';
import { check, uninterrupted } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCKADDR_IN = 16;
const SOCKADDR_IN6 = 28;

const SO_ERROR = 4;
const SO_NO_CHECK = 11;
const SO_TIMESTAMPNS = 35;
const SOL_IP = 0;
const SOL_IPV6 = 41;
/** Options and control messages of each family: linux/in.h, linux/in6.h. */
const OPTIONS = {
  4: { level: SOL_IP, ttl: 2, receiveInfo: 8, info: 8, discover: 10, errors: 11, freeBind: 15 },
  6: { level: SOL_IPV6, ttl: 16, receiveInfo: 49, info: 50, discover: 23, errors: 25, freeBind: 78 },
} as const;
const IPV6_V6ONLY = 26;
/** Sets DF and ignores the path MTU that the kernel remembers, which would hide for ten minutes that a path is repaired. */
const PMTUDISC_PROBE = 3;
const DEFAULT_TTL = -1;

const MSG_ERRQUEUE = 0x2000;
/** struct msghdr and struct iovec of 64-bit processors. */
const MSGHDR = 56;
const IOVEC = 16;
const CMSGHDR = 16;
const CONTROL_BYTES = 256;
/** Longer than any packet of an interface. */
const BUFFER_BYTES = 65_536;
/** At most so many packets are read in one go, so that a flood cannot keep the event loop. */
const BATCH = 256;

/** How often a packet is handed to the kernel, or asked of it, before its error is believed. */
const TRIES = 3;

const CLOCK_REALTIME = 0;

export interface DatagramPlace {
  readonly family: Family;
  /** Bound even when no device has it (yet). */
  readonly address: Ip;
  /** 0: the kernel chooses. */
  readonly port: number;
}

/** Opens a UDP socket that sets DF and reports ICMP errors. Throws SysError: EADDRINUSE when the port is taken. */
export function openUdp(sys: Syscalls, { family, address, port }: DatagramPlace): number {
  const fd = openSocket(sys, family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  try {
    prepare(sys, fd, family);
    withAddress(sys, address, port, (at, length) =>
      check(sys.call(sys.nr.bind, fd, at, length), 'bind', `UDP port ${port}`),
    );
    return fd;
  } catch (error) {
    closeFd(sys, fd);
    throw error;
  }
}

function prepare(sys: Syscalls, fd: number, family: Family): void {
  const { level, receiveInfo, discover, errors, freeBind } = OPTIONS[family];
  if (family === 6) setSocketOption(sys, fd, SOL_IPV6, IPV6_V6ONLY, 1);
  setSocketOption(sys, fd, level, freeBind, 1);
  setSocketOption(sys, fd, level, discover, PMTUDISC_PROBE);
  setSocketOption(sys, fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  setSocketOption(sys, fd, level, receiveInfo, 1);
  check(setSocketOption(sys, fd, level, errors, 1), 'set', 'IP_RECVERR');
}

function withAddress<T>(sys: Syscalls, ip: Ip, port: number, body: (address: number, length: number) => T): T {
  return sys.arena.scope(() => {
    const slot = sys.arena.alloc(ip.family === 4 ? SOCKADDR_IN : SOCKADDR_IN6);
    slot.setU16(0, ip.family === 4 ? AF_INET : AF_INET6);
    slot.setU8(2, port >> 8);
    slot.setU8(3, port & 0xff);
    slot.set(ipToBytes(ip), ip.family === 4 ? 4 : 8);
    return body(slot.address, slot.length);
  });
}

/** The port that a socket is bound to. */
export function portOf(sys: Syscalls, fd: number): number {
  return sys.arena.scope(() => {
    const name = sys.arena.alloc(SOCKADDR_IN6);
    const length = sys.arena.alloc(4);
    length.setU32(0, SOCKADDR_IN6);
    check(sys.call(sys.nr.getsockname, fd, name.address, length.address), 'name', 'socket');
    return name.u8(2) * 256 + name.u8(3);
  });
}

export interface SendOptions {
  /** Time to live of this packet only. */
  readonly ttl?: number | undefined;
  /** Send without a UDP checksum, which only IPv4 allows. */
  readonly noChecksum?: boolean | undefined;
}

/**
 * Sends one packet. Returns the number of bytes, or −errno of this packet: EPERM means that the node's own firewall refused it,
 * EMSGSIZE that it is larger than the device's MTU. An error that an earlier packet left on the socket is not returned.
 */
export function sendDatagram(
  sys: Syscalls,
  fd: number,
  to: { readonly ip: Ip; readonly port: number },
  payload: Uint8Array,
  { ttl, noChecksum = false }: SendOptions = {},
): number {
  const { level, ttl: ttlOption } = OPTIONS[to.ip.family];
  if (ttl !== undefined) setSocketOption(sys, fd, level, ttlOption, ttl);
  if (noChecksum) setSocketOption(sys, fd, SOL_SOCKET, SO_NO_CHECK, 1);
  try {
    return withAddress(sys, to.ip, to.port, (address, length) => {
      const data = sys.arena.copy(payload);
      let sent = 0;
      // An error about an earlier packet may arrive between the two calls; a second one hardly ever does.
      for (let tries = 0; tries < TRIES; tries++) {
        clearError(sys, fd);
        sent = uninterrupted(sys, sys.nr.sendto, fd, data.address, payload.length, MSG_DONTWAIT, address, length);
        if (sent >= 0) break;
      }
      return sent;
    });
  } finally {
    if (ttl !== undefined) setSocketOption(sys, fd, level, ttlOption, DEFAULT_TTL);
    if (noChecksum) setSocketOption(sys, fd, SOL_SOCKET, SO_NO_CHECK, 0);
  }
}

/** An ICMP error is noted on the socket as well as queued, and the next send would fail with it. */
function clearError(sys: Syscalls, fd: number): void {
  sys.arena.scope(() => {
    const value = sys.arena.alloc(8);
    value.setU32(4, 4);
    sys.call(sys.nr.getsockopt, fd, SOL_SOCKET, SO_ERROR, value.address, value.address + 4);
  });
}

/** Nanosecond time stamps of the kernel's are on this clock; milliseconds with fraction. */
export function realtimeMs(sys: Syscalls): number {
  return sys.arena.scope(() => {
    const time = sys.arena.buffer(16);
    sys.call(sys.nr.clock_gettime, CLOCK_REALTIME, time.address);
    return time.u64(0) * 1000 + time.u64(8) / 1e6;
  });
}

/** A packet that came in. `payload` is a copy. */
export interface Arrival {
  readonly from: Ip;
  readonly port: number;
  readonly payload: Uint8Array;
  /** When the kernel received it, as `realtimeMs`. */
  readonly atMs: number;
  /** The device by which it came; 0 when the kernel did not say. */
  readonly ifindex: number;
}

/** An ICMP error, or one of this machine itself, about a packet that was sent. */
export interface Bounce {
  /** Where the packet was to go. */
  readonly to: Ip;
  readonly port: number;
  /** What the error quotes of the packet's payload; may be empty. */
  readonly payload: Uint8Array;
  readonly atMs: number;
  /** Positive errno: ECONNREFUSED for a closed port. */
  readonly errno: number;
  /** Whether it is an ICMP message, and not an error of this machine. */
  readonly isIcmp: boolean;
  readonly type: number;
  readonly code: number;
  /** Who sent the ICMP message. */
  readonly by: Ip | undefined;
}

/** Reads what has arrived; the number of packets, or −errno of a socket that cannot be read any more. */
export function readArrivals(sys: Syscalls, fd: number, family: Family, onArrival: (arrival: Arrival) => void): number {
  return readMessages(sys, fd, 0, (message) => {
    const { ip, port } = readAddress(message.name, family);
    onArrival({ from: ip, port, payload: message.payload, atMs: message.atMs, ifindex: ifindexOf(message, family) });
  });
}

/** Reads the errors that have come back; the number of errors, or −errno. */
export function readBounces(sys: Syscalls, fd: number, family: Family, onBounce: (bounce: Bounce) => void): number {
  return readMessages(sys, fd, MSG_ERRQUEUE, (message) => {
    const { level, errors } = OPTIONS[family];
    const found = message.controls.find((one) => one.level === level && one.type === errors);
    if (found === undefined) return;
    const { ip, port } = readAddress(message.name, family);
    onBounce({ to: ip, port, payload: message.payload, atMs: message.atMs, ...readError(found.data, family) });
  });
}

interface Control {
  readonly level: number;
  readonly type: number;
  /** A copy. */
  readonly data: Uint8Array;
}

interface Message {
  readonly name: Uint8Array;
  readonly payload: Uint8Array;
  readonly controls: readonly Control[];
  readonly atMs: number;
}

function readMessages(sys: Syscalls, fd: number, flags: number, onMessage: (message: Message) => void): number {
  return sys.arena.scope(() => {
    const { arena } = sys;
    const name = arena.alloc(SOCKADDR_IN6);
    const data = arena.buffer(BUFFER_BYTES);
    const control = arena.buffer(CONTROL_BYTES);
    const iovec = arena.alloc(IOVEC);
    iovec.setU64(0, data.address);
    iovec.setU64(8, data.length);
    const header = arena.alloc(MSGHDR);
    // An ICMP error about what was sent meanwhile makes one read fail. The packets behind it are still there: whoever stops at
    // each error reads too little, until the queue is full and the kernel drops what comes.
    const receive = (): number => {
      let length = 0;
      for (let tries = 0; tries < TRIES; tries++) {
        setHeader(header, name, iovec, control);
        length = uninterrupted(sys, sys.nr.recvmsg, fd, header.address, flags | MSG_DONTWAIT);
        if (length >= 0 || length === -EAGAIN) break;
      }
      return length;
    };
    for (let count = 0; count < BATCH; count++) {
      const length = receive();
      if (length < 0) return count > 0 ? count : length;
      const controls = readControls(control, header.u64(40));
      const payload = data.bytes(0, length).slice();
      onMessage({ name: name.bytes().slice(), payload, controls, atMs: stampOf(controls) ?? realtimeMs(sys) });
    }
    return BATCH;
  });
}

/** struct msghdr: name, its length, iovec, their number, control, its length, flags. */
function setHeader(header: Slot, name: Slot, iovec: Slot, control: Slot): void {
  header.setU64(0, name.address);
  header.setU64(8, name.length);
  header.setU64(16, iovec.address);
  header.setU64(24, 1);
  header.setU64(32, control.address);
  header.setU64(40, control.length);
  header.setU64(48, 0);
}

/** struct cmsghdr: length with header, level, type; each aligned to 8 bytes. */
function readControls(control: Slot, total: number): Control[] {
  const controls: Control[] = [];
  for (let at = 0; at + CMSGHDR <= total; ) {
    const length = control.u64(at);
    if (length < CMSGHDR || at + length > total) break;
    const data = control.bytes(at + CMSGHDR, length - CMSGHDR).slice();
    controls.push({ level: control.i32(at + 8), type: control.i32(at + 12), data });
    at += (length + 7) & -8;
  }
  return controls;
}

function stampOf(controls: readonly Control[]): number | undefined {
  const found = controls.find(({ level, type }) => level === SOL_SOCKET && type === SO_TIMESTAMPNS);
  if (found === undefined || found.data.length < 16) return undefined;
  const view = viewOf(found.data);
  return Number(view.getBigInt64(0, true)) * 1000 + Number(view.getBigInt64(8, true)) / 1e6;
}

/** struct in_pktinfo: index, two addresses; struct in6_pktinfo: address, index. */
function ifindexOf({ controls }: Message, family: Family): number {
  const { level, info } = OPTIONS[family];
  const found = controls.find((one) => one.level === level && one.type === info);
  const at = family === 4 ? 0 : 16;
  return found === undefined || found.data.length < at + 4 ? 0 : viewOf(found.data).getInt32(at, true);
}

/** struct sock_extended_err: errno, origin, type, code, pad, info, data; then the address of who sent it. */
function readError(data: Uint8Array, family: Family): Pick<Bounce, 'errno' | 'isIcmp' | 'type' | 'code' | 'by'> {
  const view = viewOf(data);
  const isIcmp = data[4] === 2 || data[4] === 3;
  const offender = data.subarray(16);
  const hasOffender = offender.length >= 8 && (offender[0] === AF_INET || offender[0] === AF_INET6);
  return {
    errno: view.getUint32(0, true),
    isIcmp,
    type: data[5] ?? 0,
    code: data[6] ?? 0,
    by: isIcmp && hasOffender ? readAddress(offender, family).ip : undefined,
  };
}

function readAddress(name: Uint8Array, family: Family): { ip: Ip; port: number } {
  const bytes = family === 4 ? name.slice(4, 8) : name.slice(8, 24);
  return { ip: ipFromBytes(bytes), port: (name[2] ?? 0) * 256 + (name[3] ?? 0) };
}
