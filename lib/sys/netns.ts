// Enters another network namespace and comes back, for both engines: setns(2), namespaces(7). setns moves one thread, so the body is
// synchronous. In Node the thread pool must have been started before the first call, or its threads start in the wrong namespace and stay
// there.

import { EINVAL } from './errno.ts';
import { closeFd, O_NONBLOCK, O_RDONLY, openFile, statFd } from './file.ts';
import { SysError } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

const CLONE_NEWNET = 0x4000_0000;
const NSFS_MAGIC = 0x6e73_6673;
/** linux/nsfs.h: which kind of namespace a descriptor is, as its CLONE_ flag. */
const NS_GET_NSTYPE = 0xb703;

/** The path of the calling thread's own network namespace, which may differ from that of the process. */
export const OWN_NETNS = '/proc/thread-self/ns/net';

/**
 * Opens a network namespace. Throws NotNetnsError for any other path. The kind of the path is checked before it is opened: opening a FIFO
 * waits for a writer, and opening a device does whatever its driver does then (a watchdog starts).
 */
export function openNetns(sys: Syscalls, path: string): number {
  const magic = filesystemMagic(sys, path);
  if (magic !== NSFS_MAGIC) throw new NotNetnsError(path, magic);
  const fd = openFile(sys, path, O_RDONLY | O_NONBLOCK);
  if (sys.call(sys.nr.ioctl, fd, NS_GET_NSTYPE, 0) === CLONE_NEWNET) return fd;
  closeFd(sys, fd);
  throw new NotNetnsError(path, magic);
}

/** The path exists, but no network namespace is mounted there. */
export class NotNetnsError extends SysError {
  /** f_type of the file system that has the path. */
  readonly magic: number;

  constructor(path: string, magic: number) {
    const what =
      magic === NSFS_MAGIC ? 'a namespace of another kind' : `no namespace, file system type ${magic.toString(16)}`;
    super('open', `netns ${path} (${what})`, EINVAL);
    this.magic = magic;
  }

  /** Whether it is a namespace, but not a network namespace. */
  get isOtherKind(): boolean {
    return this.magic === NSFS_MAGIC;
  }
}

// struct statfs begins with the long f_type on both architectures, and is 120 bytes long
function filesystemMagic(sys: Syscalls, path: string): number {
  return sys.arena.scope(() => {
    const name = sys.arena.cstring(path);
    const buffer = sys.arena.alloc(120);
    const value = sys.call(sys.nr.statfs, name.address, buffer.address);
    if (value < 0) throw new SysError('open', path, -value);
    return buffer.u32(0);
  });
}

/** Whether a descriptor refers to the namespace in which the calling thread is. */
export function isOwnNetns(sys: Syscalls, fd: number): boolean {
  const own = openFile(sys, OWN_NETNS, O_RDONLY);
  try {
    const a = statFd(sys, own);
    const b = statFd(sys, fd);
    return a.inode === b.inode && a.device === b.device;
  } finally {
    closeFd(sys, own);
  }
}

/**
 * Runs `body` with the calling thread in the namespace of `fd`. It must not await anything. The way back is opened before leaving. Should
 * it fail, the process ends at once, since everything it did from then on would happen in another network.
 */
export function inNetns<T>(sys: Syscalls, fd: number, body: () => T): T {
  const own = openFile(sys, OWN_NETNS, O_RDONLY);
  try {
    const entered = sys.call(sys.nr.setns, fd, CLONE_NEWNET);
    if (entered < 0) throw new SysError('enter', `netns fd ${fd}`, -entered);
    try {
      return body();
    } finally {
      if (sys.call(sys.nr.setns, own, CLONE_NEWNET) < 0) dieInForeignNetns(sys);
    }
  } finally {
    closeFd(sys, own);
  }
}

/** The same in a new network namespace, which ends with the body. Throws SysError, EPERM without the right to make one. */
export function inNewNetns<T>(sys: Syscalls, body: () => T): T {
  const own = openFile(sys, OWN_NETNS, O_RDONLY);
  try {
    const made = sys.call(sys.nr.unshare, CLONE_NEWNET);
    if (made < 0) throw new SysError('make', 'netns', -made);
    try {
      return body();
    } finally {
      if (sys.call(sys.nr.setns, own, CLONE_NEWNET) < 0) dieInForeignNetns(sys);
    }
  } finally {
    closeFd(sys, own);
  }
}

function dieInForeignNetns(sys: Syscalls): never {
  sys.arena.scope(() => {
    const text = sys.arena.cstring('fatal: cannot return to the own network namespace\n');
    sys.call(sys.nr.write, 2, text.address, text.length - 1);
  });
  for (;;) sys.call(sys.nr.exit_group, 1);
}
