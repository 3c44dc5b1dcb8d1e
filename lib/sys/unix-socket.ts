// What Node does not offer for Unix sockets: their addresses, and which process listens at one (unix(7), SO_PEERCRED).

import type { Slot } from './arena.ts';
import { EAGAIN, ECONNREFUSED, ENOENT, ENOTDIR } from './errno.ts';
import { closeFd } from './file.ts';
import { openSocket, SOCK_NONBLOCK, SOL_SOCKET } from './socket.ts';
import { check, SysError } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

export const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SO_PEERCRED = 17;
/** struct sockaddr_un: u16 family, char path[108]. */
const PATH_BYTES = 108;

/** The address of a path, and its length; a leading `@` means the abstract namespace. Throws RangeError when it is too long. */
export function unixAddress(sys: Syscalls, path: string): { readonly slot: Slot; readonly length: number } {
  const name = sys.arena.encode(path);
  if (name.length >= PATH_BYTES) throw new RangeError(`${path} is longer than ${PATH_BYTES - 1} bytes`);
  const slot = sys.arena.alloc(2 + PATH_BYTES);
  slot.setU16(0, AF_UNIX);
  const bytes = slot.bytes();
  bytes.set(name, 2);
  const isAbstract = path.startsWith('@');
  if (isAbstract) bytes[2] = 0;
  // The length delimits an abstract name; a path ends with its NUL.
  return { slot, length: 2 + name.length + (isAbstract ? 0 : 1) };
}

/**
 * The process that listens at the socket `path`, 0 for one in another PID namespace; undefined when there is none. Does not wait: a stopped
 * or busy process is found as well. Throws SysError when this cannot be determined.
 */
export function listenerAt(sys: Syscalls, path: string): number | undefined {
  const fd = openSocket(sys, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  try {
    return sys.arena.scope(() => {
      const { slot, length } = unixAddress(sys, path);
      const answer = sys.call(sys.nr.connect, fd, slot.address, length);
      if (answer === -ENOENT || answer === -ENOTDIR || answer === -ECONNREFUSED) return undefined;
      // Its queue is full: a process listens, but does not accept connections.
      if (answer === -EAGAIN) return 0;
      check(answer, 'connect to', path);
      // struct ucred: s32 pid, u32 uid, u32 gid
      const credentials = sys.arena.alloc(12);
      const size = sys.arena.alloc(4);
      size.setU32(0, credentials.length);
      const got = sys.call(sys.nr.getsockopt, fd, SOL_SOCKET, SO_PEERCRED, credentials.address, size.address);
      if (got < 0) throw new SysError('ask who listens at', path, -got);
      return credentials.i32(0);
    });
  } finally {
    closeFd(sys, fd);
  }
}
