// Sockets as lib/netlink needs them, for both engines: socket(2), bind(2), sendto(2), recvfrom(2), ppoll(2),
// netlink(7).

import type { Slot } from './arena.ts';
import { writeTimespec } from './clock.ts';
import { check, uninterrupted } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const SOCK_NONBLOCK = 0o4000;
export const SOL_SOCKET = 1;
export const SO_RCVBUF = 8;
export const SO_RCVBUFFORCE = 33;
export const SO_SNDBUFFORCE = 32;
export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;

/** struct sockaddr_nl: u16 family, u16 pad, u32 pid, u32 groups. */
export const SOCKADDR_NL_BYTES = 12;

/** Opens a close-on-exec socket. */
export function openSocket(sys: Syscalls, domain: number, type: number, protocol: number): number {
  return check(sys.call(sys.nr.socket, domain, type | SOCK_CLOEXEC, protocol), 'open', 'socket');
}

/** Binds a netlink socket to a port the kernel chooses and returns that port id. */
export function bindNetlink(sys: Syscalls, fd: number, groups = 0): number {
  const { arena } = sys;
  const mark = arena.mark();
  try {
    // The address, followed by its length, which the kernel overwrites.
    const name = arena.alloc(SOCKADDR_NL_BYTES + 4);
    name.setU16(0, AF_NETLINK);
    name.setU32(8, groups);
    name.setU32(SOCKADDR_NL_BYTES, SOCKADDR_NL_BYTES);
    check(sys.call(sys.nr.bind, fd, name.address, SOCKADDR_NL_BYTES), 'bind', 'netlink socket');
    const length = name.address + SOCKADDR_NL_BYTES;
    check(sys.call(sys.nr.getsockname, fd, name.address, length), 'name', 'netlink socket');
    return name.u32(4);
  } finally {
    arena.release(mark);
  }
}

/** Sets an integer socket option; returns 0 or −errno, so that the caller can decide what an old kernel's refusal means. */
export function setSocketOption(sys: Syscalls, fd: number, level: number, option: number, value: number): number {
  return setSocketOptions(sys, fd, level, [option], value);
}

/** Sets several integer socket options to one value; returns the last result. */
export function setSocketOptions(
  sys: Syscalls,
  fd: number,
  level: number,
  options: readonly number[],
  value: number,
): number {
  const { arena } = sys;
  const mark = arena.mark();
  try {
    const slot = arena.buffer(4);
    slot.setI32(0, value);
    let result = 0;
    for (const option of options) result = sys.call(sys.nr.setsockopt, fd, level, option, slot.address, 4);
    return result;
  } finally {
    arena.release(mark);
  }
}

/** Sends the first `length` bytes of a slot to the kernel (netlink port 0); returns bytes sent or −errno. */
export function sendToKernel(sys: Syscalls, fd: number, message: Slot, length: number): number {
  return sys.arena.scope(() => {
    const kernel = sys.arena.alloc(SOCKADDR_NL_BYTES);
    kernel.setU16(0, AF_NETLINK);
    const { address } = message;
    return uninterrupted(sys, sys.nr.sendto, fd, address, length, 0, kernel.address, kernel.length);
  });
}

/** The address of a netlink datagram's sender, followed by its length, which the kernel overwrites. */
export const SENDER_BYTES = SOCKADDR_NL_BYTES + 4;

/**
 * Receives one datagram into `buffer` without waiting. Returns its true length, which is larger than the buffer's when it was cut off, or
 * −errno. `sender`, of SENDER_BYTES, receives who has sent it; `senderPort` reads that.
 */
export function receiveDatagram(sys: Syscalls, fd: number, buffer: Slot, sender?: Slot): number {
  sender?.setU32(SOCKADDR_NL_BYTES, SOCKADDR_NL_BYTES);
  const from = sender?.address ?? 0;
  const fromLength = from && from + SOCKADDR_NL_BYTES;
  const flags = MSG_DONTWAIT | MSG_TRUNC;
  return uninterrupted(sys, sys.nr.recvfrom, fd, buffer.address, buffer.length, flags, from, fromLength);
}

/** The netlink port id of the sender of a datagram; 0 is the kernel. */
export function senderPort(sender: Slot): number {
  return sender.u32(4);
}

export interface PollEntry {
  readonly fd: number;
  readonly events: number;
}

/**
 * Waits until one of the descriptors is ready and returns their returned events in order; all 0 after
 * `timeoutMs` (−1: no limit). A signal ends the wait early, also with all 0.
 */
export function pollFds(sys: Syscalls, entries: readonly PollEntry[], timeoutMs: number): number[] {
  return sys.arena.scope(() => {
    // struct pollfd: s32 fd, s16 events, s16 revents
    const fds = sys.arena.alloc(entries.length * 8);
    entries.forEach((entry, index) => {
      fds.setI32(index * 8, entry.fd);
      fds.setU16(index * 8 + 4, entry.events);
    });
    let timeout = 0;
    if (timeoutMs >= 0) {
      const time = sys.arena.buffer(16);
      writeTimespec(time, timeoutMs);
      timeout = time.address;
    }
    const ready = sys.call(sys.nr.ppoll, fds.address, entries.length, timeout, 0, 0);
    if (ready < 0) return entries.map(() => 0);
    return entries.map((_, index) => fds.u16(index * 8 + 6));
  });
}
