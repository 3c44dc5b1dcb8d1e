// The UDP sockets of a flow, for IPv4 and IPv6 (udp(7), ip(7), ipv6(7)). They are opened inside a namespace and used from outside.

import { type Ip, ipToBytes } from '../../../lib/ip.ts';
import type { Slot } from '../../../lib/sys/arena.ts';
import { closeFd } from '../../../lib/sys/file.ts';
import { inNetns, openNetns } from '../../../lib/sys/netns.ts';
import { MSG_DONTWAIT, openSocket, SOCK_NONBLOCK, setSocketOption } from '../../../lib/sys/socket.ts';
import { check } from '../../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IP_MTU_DISCOVER = 10;
const IPV6_MTU_DISCOVER = 23;
/** Sets DF and ignores a path MTU learned from ICMP, so that a packet that is too large is lost. A flow must count it as lost. */
const PMTUDISC_PROBE = 3;
/** struct sockaddr_in6: u16 family, be16 port, u32 flow, 16 bytes address, u32 scope; sockaddr_in is shorter. */
const SOCKADDR_BYTES = 28;
const RECEIVE_BYTES = 2048;

export type Family = Ip['family'];

/** Runs `body` in the namespace at `path`. */
export function within<T>(sys: Syscalls, path: string, body: () => T): T {
  const netns = openNetns(sys, path);
  try {
    return inNetns(sys, netns, body);
  } finally {
    closeFd(sys, netns);
  }
}

export function openUdp(sys: Syscalls, family: Family): number {
  const fd = openSocket(sys, family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  const [level, option] = family === 4 ? [IPPROTO_IP, IP_MTU_DISCOVER] : [IPPROTO_IPV6, IPV6_MTU_DISCOVER];
  check(setSocketOption(sys, fd, level, option, PMTUDISC_PROBE), 'set', 'MTU discovery');
  return fd;
}

/** Binds the socket to `port` on every address, or to a port that the kernel chooses when `port` is 0. Returns the port. */
export function bindUdp(sys: Syscalls, fd: number, family: Family, port: number): number {
  return sys.arena.scope(() => {
    const address = sys.arena.alloc(SOCKADDR_BYTES);
    address.setU16(0, family === 4 ? AF_INET : AF_INET6);
    setPort(address, port);
    check(sys.call(sys.nr.bind, fd, address.address, address.length), 'bind', 'UDP socket');
    const length = sys.arena.alloc(4);
    length.setU32(0, address.length);
    check(sys.call(sys.nr.getsockname, fd, address.address, length.address), 'name', 'UDP socket');
    return (address.u8(2) << 8) | address.u8(3);
  });
}

/** Sends a datagram. Returns the number of bytes sent, or −errno. */
export function sendUdp(sys: Syscalls, fd: number, to: Ip, port: number, payload: Uint8Array): number {
  return sys.arena.scope(() => {
    const address = sys.arena.alloc(SOCKADDR_BYTES);
    address.setU16(0, to.family === 4 ? AF_INET : AF_INET6);
    setPort(address, port);
    address.bytes().set(ipToBytes(to), addressOffset(to.family));
    const data = sys.arena.copy(payload);
    return sys.call(sys.nr.sendto, fd, data.address, data.length, MSG_DONTWAIT, address.address, address.length);
  });
}

/**
 * Returns one datagram and the bytes of its source address; undefined when no datagram is there, or an error is reported instead.
 */
export function receiveUdp(
  sys: Syscalls,
  fd: number,
  family: Family,
): { payload: Uint8Array; source: Uint8Array } | undefined {
  return sys.arena.scope(() => {
    const buffer = sys.arena.buffer(RECEIVE_BYTES);
    const from = sys.arena.alloc(SOCKADDR_BYTES);
    const fromLength = sys.arena.alloc(4);
    fromLength.setU32(0, from.length);
    const { address, length } = buffer;
    const got = sys.call(sys.nr.recvfrom, fd, address, length, MSG_DONTWAIT, from.address, fromLength.address);
    if (got < 0) return undefined;
    const at = addressOffset(family);
    return { payload: buffer.bytes(0, got).slice(), source: from.bytes(at, family === 4 ? 4 : 16).slice() };
  });
}

/** Writes the port in network byte order. */
function setPort(address: Slot, port: number): void {
  address.setU8(2, port >> 8);
  address.setU8(3, port & 0xff);
}

function addressOffset(family: Family): number {
  return family === 4 ? 4 : 8;
}
