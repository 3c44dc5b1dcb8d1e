// Telling systemd that the agent is ready, and that it lives: one datagram to the socket named by NOTIFY_SOCKET (sd_notify(3), unix(7)).

import { closeFd } from '../../lib/sys/file.ts';
import { MSG_DONTWAIT, openSocket } from '../../lib/sys/socket.ts';
import { check } from '../../lib/sys/sys-error.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
/** struct sockaddr_un: u16 family, char path[108]. */
const PATH_BYTES = 108;

/** Sends `state` (`READY=1`) to the socket `path`; a leading `@` means the abstract namespace. Throws SysError, also when
 * the other side has no room: nobody waits for it. */
export function sdNotify(sys: Syscalls, path: string, state: string): void {
  const name = sys.arena.encode(path);
  if (name.length >= PATH_BYTES) throw new RangeError(`NOTIFY_SOCKET is longer than ${PATH_BYTES - 1} bytes`);
  const fd = openSocket(sys, AF_UNIX, SOCK_DGRAM, 0);
  try {
    sys.arena.scope(() => {
      const address = sys.arena.alloc(2 + PATH_BYTES);
      address.setU16(0, AF_UNIX);
      const bytes = address.bytes();
      bytes.set(name, 2);
      if (path.startsWith('@')) bytes[2] = 0;
      const message = sys.arena.copy(sys.arena.encode(state));
      // An abstract name is as long as the address says, a path ends with its NUL.
      const length = 2 + name.length + (path.startsWith('@') ? 0 : 1);
      const sent = sys.call(sys.nr.sendto, fd, message.address, message.length, MSG_DONTWAIT, address.address, length);
      check(sent, 'notify', path);
    });
  } finally {
    closeFd(sys, fd);
  }
}
