// Tells systemd that the agent is ready or still alive, by one datagram to the socket that NOTIFY_SOCKET names
// (sd_notify(3), unix(7)).

import { closeFd } from '../../lib/sys/file.ts';
import { MSG_DONTWAIT, openSocket } from '../../lib/sys/socket.ts';
import { check } from '../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { AF_UNIX, unixAddress } from '../../lib/sys/unix-socket.ts';

const SOCK_DGRAM = 2;

/** Sends `state` (`READY=1`) to the socket `path`; a leading `@` means the abstract namespace. Throws SysError, also when
 * the receiver's queue is full, because the agent must not wait for systemd. */
export function sdNotify(sys: Syscalls, path: string, state: string): void {
  const fd = openSocket(sys, AF_UNIX, SOCK_DGRAM, 0);
  try {
    sys.arena.scope(() => {
      const { slot, length } = unixAddress(sys, path);
      const { address, length: bytes } = sys.arena.copy(sys.arena.encode(state));
      check(sys.call(sys.nr.sendto, fd, address, bytes, MSG_DONTWAIT, slot.address, length), 'notify', path);
    });
  } finally {
    closeFd(sys, fd);
  }
}
