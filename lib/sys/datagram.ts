// UDP sockets with facts that plain sockets do not report: ICMP errors and their senders, when the kernel received a packet, and by which
// device: udp(7), ip(7), ipv6(7), recvmsg(2), linux/errqueue.h. Nothing here waits.

import { type Family, type Ip, ipFromBytes, ipToBytes } from '../ip.ts';
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
/** Sets DF and ignores the path MTU that the kernel remembers, which would hide for ten minutes that a path has been repaired. */
const PMTUDISC_PROBE = 3;
const DEFAULT_TTL = -1;

const MSG_ERRQUEUE = 0x2000;
/** struct msghdr and struct iovec of 64-bit processors. */
const MSGHDR = 56;
const IOVEC = 16;
const CMSGHDR = 16;
const CONTROL_BYTES = 256;
/** Longer than a packet of any interface. */
const BUFFER_BYTES = 65_536;
/** At most this many packets are read in one go, so that a flood cannot occupy the event loop. */
const BATCH = 256;

/** How often a call is repeated, because its error may be about an earlier packet. */
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
      // The error may be about an earlier packet. The call clears it, and a second one hardly ever arrives meanwhile.
      for (let tries = 0; tries < TRIES; tries++) {
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

/** The clock of the kernel's time stamps, in milliseconds with fraction. */
export function realtimeMs(sys: Syscalls): number {
  return sys.arena.scope(() => {
    const time = sys.arena.buffer(16);
    sys.call(sys.nr.clock_gettime, CLOCK_REALTIME, time.address);
    return time.u64(0) * 1000 + time.u64(8) / 1e6;
  });
}

/** A packet that has arrived. `payload` is a copy. */
export interface Arrival {
  readonly from: Ip;
  readonly port: number;
  readonly payload: Uint8Array;
  /** When the kernel received it, as `realtimeMs`. */
  readonly atMs: number;
  /** The device by which it arrived; 0 when the kernel did not say. */
  readonly ifindex: number;
}

/** An ICMP error, or an error of this machine, about a packet that was sent. */
export interface Bounce {
  /** The packet's destination. */
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
  /** The sender of the ICMP message. */
  readonly by: Ip | undefined;
}

/** Reads what has arrived; the number of packets, or −errno of a socket that cannot be read any more. */
export function readArrivals(sys: Syscalls, fd: number, family: Family, onArrival: (arrival: Arrival) => void): number {
  const { level, info } = OPTIONS[family];
  return readMessages(sys, fd, 0, ({ name, payload, controls }) => {
    const { ip, port } = readAddress(name, 0, family);
    // struct in_pktinfo: index, two addresses; struct in6_pktinfo: address, index.
    const at = controls.find(level, info);
    const ifindex = at === undefined ? 0 : controls.slot.i32(family === 4 ? at : at + 16);
    onArrival({ from: ip, port, payload, atMs: stampOf(sys, controls), ifindex });
  });
}

/** Reads the errors that have come back; the number of errors, or −errno. */
export function readBounces(sys: Syscalls, fd: number, family: Family, onBounce: (bounce: Bounce) => void): number {
  const { level, errors } = OPTIONS[family];
  return readMessages(sys, fd, MSG_ERRQUEUE, ({ name, payload, controls }) => {
    const at = controls.find(level, errors);
    if (at === undefined) return;
    const { ip, port } = readAddress(name, 0, family);
    onBounce({ to: ip, port, payload, atMs: stampOf(sys, controls), ...readError(controls.slot, at) });
  });
}

interface Message {
  /** The socket address of the other end. */
  readonly name: Slot;
  /** A copy. */
  readonly payload: Uint8Array;
  readonly controls: Controls;
}

function readMessages(sys: Syscalls, fd: number, flags: number, onMessage: (message: Message) => void): number {
  return sys.arena.scope(() => {
    const { arena } = sys;
    const name = arena.alloc(SOCKADDR_IN6);
    const data = arena.buffer(BUFFER_BYTES);
    const controls = new Controls(arena.buffer(CONTROL_BYTES));
    const header = headerOf(sys, name, data, controls.slot);
    // An ICMP error about an earlier packet makes one read fail, while the packets behind it are still there. A reader that stopped at each
    // error would read too little, until the queue is full and the kernel drops packets.
    const receive = (): number => {
      let length = 0;
      for (let tries = 0; tries < TRIES; tries++) {
        header.setU32(8, name.length);
        header.setU64(40, CONTROL_BYTES);
        length = uninterrupted(sys, sys.nr.recvmsg, fd, header.address, flags | MSG_DONTWAIT);
        if (length >= 0 || length === -EAGAIN) break;
      }
      return length;
    };
    for (let count = 0; count < BATCH; count++) {
      const length = receive();
      if (length < 0) return count > 0 ? count : length;
      controls.length = header.u64(40);
      onMessage({ name, payload: data.bytes(0, length).slice(), controls });
    }
    return BATCH;
  });
}

/** struct msghdr: name, its length, iovec, their number, control, its length, flags. The kernel overwrites the two lengths. */
function headerOf({ arena }: Syscalls, name: Slot, data: Slot, control: Slot): Slot {
  const iovec = arena.alloc(IOVEC);
  iovec.setU64(0, data.address);
  iovec.setU64(8, data.length);
  const header = arena.alloc(MSGHDR);
  header.setU64(0, name.address);
  header.setU64(16, iovec.address);
  header.setU64(24, 1);
  header.setU64(32, control.address);
  return header;
}

/** The control messages that came with a packet. struct cmsghdr: length with header, level, type; each aligned to 8 bytes. */
class Controls {
  readonly slot: Slot;
  length = 0;

  constructor(slot: Slot) {
    this.slot = slot;
  }

  /** Where the data of such a message begins in the slot; undefined when there is none. */
  find(level: number, type: number): number | undefined {
    const { slot } = this;
    for (let at = 0; at + CMSGHDR <= this.length; ) {
      const length = slot.u64(at);
      if (length < CMSGHDR || at + length > this.length) return undefined;
      if (slot.i32(at + 8) === level && slot.i32(at + 12) === type) return at + CMSGHDR;
      at += (length + 7) & -8;
    }
    return undefined;
  }
}

function stampOf(sys: Syscalls, controls: Controls): number {
  const at = controls.find(SOL_SOCKET, SO_TIMESTAMPNS);
  return at === undefined ? realtimeMs(sys) : controls.slot.u64(at) * 1000 + controls.slot.u64(at + 8) / 1e6;
}

/** struct sock_extended_err: errno, origin, type, code, pad, info, data; then the socket address of the sender. */
function readError(slot: Slot, at: number): Pick<Bounce, 'errno' | 'isIcmp' | 'type' | 'code' | 'by'> {
  const origin = slot.u8(at + 4);
  const isIcmp = origin === 2 || origin === 3;
  const offender = slot.u16(at + 16);
  const family = offender === AF_INET ? 4 : offender === AF_INET6 ? 6 : undefined;
  return {
    errno: slot.u32(at),
    isIcmp,
    type: slot.u8(at + 5),
    code: slot.u8(at + 6),
    by: isIcmp && family !== undefined ? readAddress(slot, at + 16, family).ip : undefined,
  };
}

/** struct sockaddr_in: family, port, address; struct sockaddr_in6: family, port, flow, address. */
function readAddress(slot: Slot, at: number, family: Family): { ip: Ip; port: number } {
  const bytes = family === 4 ? slot.bytes(at + 4, 4) : slot.bytes(at + 8, 16);
  return { ip: ipFromBytes(bytes), port: slot.u8(at + 2) * 256 + slot.u8(at + 3) };
}
