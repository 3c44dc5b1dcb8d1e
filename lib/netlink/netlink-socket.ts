// A netlink socket of the kernel: opening, options, and one exchange over it (netlink(7)).

import type { Slot } from '../sys/arena.ts';
import { monotonicMs } from '../sys/clock.ts';
import { EAGAIN, ETIMEDOUT } from '../sys/errno.ts';
import { closeFd } from '../sys/file.ts';
import {
  AF_NETLINK,
  bindNetlink,
  MSG_DONTWAIT,
  MSG_TRUNC,
  openSocket,
  POLLIN,
  pollFds,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUFFORCE,
  SOCK_RAW,
  SOCKADDR_NL_BYTES,
  SOL_SOCKET,
  setSocketOption,
  setSocketOptions,
} from '../sys/socket.ts';
import { uninterrupted } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK, SOL_NETLINK } from './constants.ts';
import type { Exchange, NetlinkTransport } from './transport.ts';

export interface SocketOptions {
  /** The receive buffer in bytes. The kernel's default (net.core.rmem_default) is large enough for every answer to our requests. */
  readonly rcvbufBytes?: number;
  /** Send buffer in bytes, which bounds one datagram; the default (net.core.wmem_default) is some 200 KB. */
  readonly sndbufBytes?: number;
  /** How long one answer may take, in milliseconds; 10 s when absent. The kernel answers before send returns. */
  readonly deadlineMs?: number;
}

const DEADLINE_MS = 10_000;

/** Offsets of what is kept besides the messages: the kernel's address (sockaddr_nl), the sender's, and the length of that (u32). */
const KERNEL_AT = 0;
const SENDER_AT = SOCKADDR_NL_BYTES;
const SENDER_LENGTH_AT = 2 * SOCKADDR_NL_BYTES;
const ADDRESSES_BYTES = SENDER_LENGTH_AT + 4;

/** Opens and binds a socket of the given netlink protocol. Throws SysError. */
export function openNetlinkSocket(sys: Syscalls, protocol: number, options: SocketOptions = {}): NetlinkTransport {
  const fd = openSocket(sys, AF_NETLINK, SOCK_RAW, protocol);
  try {
    // Each of these options is useful, but an old kernel may lack it: they came with 4.12, 4.3 and 4.20.
    setSocketOptions(sys, fd, SOL_NETLINK, [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK], 1);
    if (options.rcvbufBytes !== undefined) setReceiveBuffer(sys, fd, options.rcvbufBytes);
    if (options.sndbufBytes !== undefined) {
      setSocketOption(sys, fd, SOL_SOCKET, SO_SNDBUFFORCE, options.sndbufBytes);
    }
    return new KernelTransport(sys, fd, bindNetlink(sys, fd), options.deadlineMs ?? DEADLINE_MS);
  } catch (error) {
    closeFd(sys, fd);
    throw error;
  }
}

/** Enlarges the receive buffer: beyond net.core.rmem_max with CAP_NET_ADMIN, else up to it. */
export function setReceiveBuffer(sys: Syscalls, fd: number, bytes: number): void {
  if (setSocketOption(sys, fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes) < 0) {
    setSocketOption(sys, fd, SOL_SOCKET, SO_RCVBUF, bytes);
  }
}

class KernelTransport implements NetlinkTransport {
  readonly portId: number;
  private readonly sys: Syscalls;
  private readonly fd: number;
  private readonly deadlineMs: number;
  private closed = false;

  constructor(sys: Syscalls, fd: number, portId: number, deadlineMs: number) {
    this.sys = sys;
    this.fd = fd;
    this.portId = portId;
    this.deadlineMs = deadlineMs;
  }

  exchange<T>(outBytes: number, inBytes: number, body: (exchange: Exchange) => T): T {
    if (this.closed) throw new Error('netlink socket used after close');
    const { arena } = this.sys;
    const mark = arena.mark();
    try {
      const out = arena.buffer(outBytes);
      const incoming = arena.buffer(inBytes);
      const addresses = arena.alloc(ADDRESSES_BYTES);
      addresses.setU16(KERNEL_AT, AF_NETLINK);
      return body({
        out: out.bytes(),
        in: incoming.bytes(),
        send: (length) => this.send(out, length, addresses),
        receive: () => this.receive(incoming, addresses),
      });
    } finally {
      arena.release(mark);
    }
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeFd(this.sys, this.fd);
  }

  /** 0 or −errno. The wrappers of lib/sys/socket.ts would allocate for every datagram; an attachment has dozens. */
  private send(out: Slot, length: number, addresses: Slot): number {
    const sys = this.sys;
    const to = addresses.address + KERNEL_AT;
    return Math.min(0, uninterrupted(sys, sys.nr.sendto, this.fd, out.address, length, 0, to, SOCKADDR_NL_BYTES));
  }

  private receive(buffer: Slot, addresses: Slot): number {
    const { call, nr } = this.sys;
    const from = addresses.address + SENDER_AT;
    const fromLength = addresses.address + SENDER_LENGTH_AT;
    const flags = MSG_DONTWAIT | MSG_TRUNC;
    let deadline: number | undefined;
    for (;;) {
      addresses.setU32(SENDER_LENGTH_AT, SOCKADDR_NL_BYTES);
      const length = call(nr.recvfrom, this.fd, buffer.address, buffer.length, flags, from, fromLength);
      if (length >= 0) {
        // Any process may send to our port id. The kernel's own port id is 0.
        if (addresses.u32(SENDER_AT + 4) === 0) return length;
      } else if (length !== -EAGAIN) {
        return length;
      } else {
        const now = monotonicMs(this.sys);
        deadline ??= now + this.deadlineMs;
        if (now >= deadline) return -ETIMEDOUT;
        pollFds(this.sys, [{ fd: this.fd, events: POLLIN }], deadline - now);
      }
    }
  }
}
