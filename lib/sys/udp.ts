// One UDP datagram to this machine, without waiting for anything: udp(7), ip(7), ipv6(7).

import { closeFd } from './file.ts';
import { openSocket, SOCK_NONBLOCK } from './socket.ts';
import { check, uninterrupted } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
/** struct sockaddr_in and sockaddr_in6. */
const SOCKADDR_IN = 16;
const SOCKADDR_IN6 = 28;

/** Sends to a port of 127.0.0.1 or ::1, in the current network namespace. Throws SysError. */
export function sendToLoopback(sys: Syscalls, family: 4 | 6, port: number, payload: Uint8Array): void {
  const fd = openSocket(sys, family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  try {
    sys.arena.scope(() => {
      const to = sys.arena.alloc(family === 4 ? SOCKADDR_IN : SOCKADDR_IN6);
      to.setU16(0, family === 4 ? AF_INET : AF_INET6);
      const bytes = to.bytes();
      bytes[2] = port >> 8;
      bytes[3] = port & 0xff;
      // 127.0.0.1 follows the port; ::1 ends eight bytes further, behind the flow label.
      if (family === 4) bytes.set([127, 0, 0, 1], 4);
      else bytes[23] = 1;
      const data = sys.arena.buffer(payload.length);
      data.bytes().set(payload);
      const { address, length } = to;
      const sent = uninterrupted(sys, sys.nr.sendto, fd, data.address, payload.length, 0, address, length);
      check(sent, 'send', `to UDP port ${port}`);
    });
  } finally {
    closeFd(sys, fd);
  }
}
