// Files, directories, locks and the atomic replacement of a file, for both engines: open(2), getdents64(2),
// flock(2), renameat2(2). Paths are text; every failure is a SysError naming the path.

import type { Slot } from './arena.ts';
import { EAGAIN, EEXIST, ELOOP, ENOENT, ENXIO } from './errno.ts';
import { check, SysError, uninterrupted } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

export const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
/** How much one read(2) or getdents64(2) asks for, in bytes. */
const CHUNK_BYTES = 32 * 1024;

/** Opens a file close-on-exec. */
export function openFile(sys: Syscalls, path: string, flags: number, mode = 0): number {
  return check(tryOpen(sys, path, flags, mode), 'open', path);
}

/** Like `openFile`, but returns −errno instead of throwing. */
export function tryOpen(sys: Syscalls, path: string, flags: number, mode = 0): number {
  const { arena } = sys;
  const mark = arena.mark();
  try {
    return uninterrupted(sys, sys.nr.openat, AT_FDCWD, arena.textAddress(path), flags | O_CLOEXEC, mode);
  } finally {
    arena.release(mark);
  }
}

export function closeFd(sys: Syscalls, fd: number): void {
  sys.call(sys.nr.close, fd);
}

/** Runs `body` with an open file and closes it afterwards. */
export function withFile<T>(sys: Syscalls, path: string, flags: number, mode: number, body: (fd: number) => T): T {
  const fd = openFile(sys, path, flags, mode);
  try {
    return body(fd);
  } finally {
    closeFd(sys, fd);
  }
}

/** Everything from `fd` to its end. More than `maxBytes` is an EFBIG-like SysError, never truncated. */
export function readAll(sys: Syscalls, fd: number, maxBytes: number, object = `fd ${fd}`): Uint8Array {
  const { arena } = sys;
  const mark = arena.mark();
  try {
    const chunk = arena.buffer(Math.min(CHUNK_BYTES, maxBytes + 1));
    const parts: Uint8Array[] = [];
    let total = 0;
    for (;;) {
      const count = check(uninterrupted(sys, sys.nr.read, fd, chunk.address, chunk.length), 'read', object);
      if (count === 0) return joinBytes(parts);
      total += count;
      if (total > maxBytes) throw new SysError('read', `${object} (more than ${maxBytes} bytes)`, EFBIG);
      parts.push(chunk.bytes(0, count).slice());
    }
  } finally {
    arena.release(mark);
  }
}
const EFBIG = 27;

/** A file's text, strictly UTF-8, at most `maxBytes`. A pipe in place of the file reads as empty and does not make us wait. */
export function readText(sys: Syscalls, path: string, maxBytes: number): string {
  const bytes = withFile(sys, path, O_RDONLY | O_NONBLOCK, 0, (fd) => readAll(sys, fd, maxBytes, path));
  return sys.arena.decode(bytes);
}

/** Like `readText`, but returns undefined when there is no such file. */
export function readTextIfPresent(sys: Syscalls, path: string, maxBytes: number): string | undefined {
  const fd = tryOpen(sys, path, O_RDONLY | O_NONBLOCK);
  if (fd === -ENOENT) return undefined;
  check(fd, 'open', path);
  try {
    return sys.arena.decode(readAll(sys, fd, maxBytes, path));
  } finally {
    closeFd(sys, fd);
  }
}

/** Writes all of `bytes`, however often the kernel takes only a part. */
export function writeAll(sys: Syscalls, fd: number, bytes: Uint8Array, object = `fd ${fd}`): void {
  const { arena } = sys;
  const mark = arena.mark();
  try {
    const { address, length } = arena.copy(bytes);
    let written = 0;
    while (written < length) {
      written += check(uninterrupted(sys, sys.nr.write, fd, address + written, length - written), 'write', object);
    }
  } finally {
    arena.release(mark);
  }
}

/** Creates a file that must not exist yet, with this content. False when it exists already. */
export function createFile(sys: Syscalls, path: string, text: string, mode: number): boolean {
  const fd = tryOpen(sys, path, O_WRONLY | O_CREAT | O_EXCL, mode);
  if (fd === -EEXIST) return false;
  fillNewFile(sys, check(fd, 'create', path), path, text);
  closeFd(sys, fd);
  return true;
}

/**
 * Like `createFile`, but returns the open file with an exclusive flock(2), which ends with the descriptor, at the latest when this process
 * does. Undefined when the file exists already.
 */
export function createLockedFile(sys: Syscalls, path: string, text: string, mode: number): number | undefined {
  const fd = tryOpen(sys, path, O_WRONLY | O_CREAT | O_EXCL, mode);
  if (fd === -EEXIST) return undefined;
  check(fd, 'create', path);
  fillNewFile(sys, fd, path, text, () => check(uninterrupted(sys, sys.nr.flock, fd, LOCK_EX), 'lock', path));
  return fd;
}

/** Closes and removes the file when that fails. */
function fillNewFile(sys: Syscalls, fd: number, path: string, text: string, before?: () => void): void {
  try {
    before?.();
    writeAll(sys, fd, sys.arena.encode(text), path);
  } catch (error) {
    closeFd(sys, fd);
    removeFile(sys, path);
    throw error;
  }
}

/** Opens a file and waits for an exclusive flock(2) on it; undefined when there is no such file. */
export function lockFile(sys: Syscalls, path: string): number | undefined {
  const fd = tryOpen(sys, path, O_RDONLY | O_NONBLOCK);
  if (fd === -ENOENT) return undefined;
  check(fd, 'open', path);
  uninterrupted(sys, sys.nr.flock, fd, LOCK_EX);
  return fd;
}

/** Whether a process has an exclusive flock(2) on a file. Returns false when the path is not a regular file itself. */
export function isLocked(sys: Syscalls, path: string): boolean {
  const fd = tryOpen(sys, path, O_RDONLY | O_NONBLOCK | sys.flags.O_NOFOLLOW);
  if (fd === -ENOENT || fd === -ELOOP || fd === -ENXIO) return false;
  check(fd, 'open', path);
  try {
    const locked = uninterrupted(sys, sys.nr.flock, fd, LOCK_SH | LOCK_NB);
    if (locked !== -EAGAIN) check(locked, 'lock', path);
    return locked === -EAGAIN;
  } finally {
    closeFd(sys, fd);
  }
}

/** Gives the file `from` a second name. False when that name is taken. */
export function linkFile(sys: Syscalls, from: string, to: string): boolean {
  const value = sys.arena.scope(() => {
    const source = sys.arena.textAddress(from);
    return sys.call(sys.nr.linkat, AT_FDCWD, source, AT_FDCWD, sys.arena.textAddress(to), 0);
  });
  if (value === -EEXIST) return false;
  check(value, 'link', to);
  return true;
}

/** Removes a file. False when there was none. */
export function removeFile(sys: Syscalls, path: string): boolean {
  return remove(sys, path, 0);
}

/** Removes an empty directory. False when there was none. */
export function removeDir(sys: Syscalls, path: string): boolean {
  return remove(sys, path, AT_REMOVEDIR);
}

function remove(sys: Syscalls, path: string, flags: number): boolean {
  const value = sys.arena.scope(() => sys.call(sys.nr.unlinkat, AT_FDCWD, sys.arena.textAddress(path), flags));
  if (value === -ENOENT) return false;
  check(value, 'remove', path);
  return true;
}

/** Makes a directory and every missing one above it. */
export function makeDirs(sys: Syscalls, path: string, mode: number): void {
  let value = tryMakeDir(sys, path, mode);
  const slash = path.replace(/\/+$/, '').lastIndexOf('/');
  if (value === -ENOENT && slash > 0) {
    makeDirs(sys, path.slice(0, slash), mode);
    // Tried only once more: below /proc the answer stays ENOENT, whatever exists above.
    value = tryMakeDir(sys, path, mode);
  }
  if (value !== -EEXIST) check(value, 'mkdir', path);
}

function tryMakeDir(sys: Syscalls, path: string, mode: number): number {
  return sys.arena.scope(() => sys.call(sys.nr.mkdirat, AT_FDCWD, sys.arena.textAddress(path), mode));
}

/** Renames `from` to `to`, which it replaces, atomically. */
export function renameFile(sys: Syscalls, from: string, to: string): void {
  sys.arena.scope(() => {
    const source = sys.arena.textAddress(from);
    const target = sys.arena.textAddress(to);
    check(sys.call(sys.nr.renameat2, AT_FDCWD, source, AT_FDCWD, target, 0), 'rename', `${from} to ${to}`);
  });
}

/** Options of `atomicReplace`. */
export interface ReplaceOptions {
  /** Flush the content to the disk before the rename: after a power loss the file is old or new, never empty. */
  readonly durable: boolean;
}

/**
 * Replaces a file's whole content: a reader sees the old or the new one. The mode is set regardless of
 * the umask. The temporary file is in the same directory, named `.<name>.<pid>`, and removed on failure.
 */
export function atomicReplace(sys: Syscalls, path: string, text: string, mode: number, options: ReplaceOptions): void {
  const slash = path.lastIndexOf('/');
  const temporary = `${path.slice(0, slash + 1)}.${path.slice(slash + 1)}.${sys.call(sys.nr.getpid)}`;
  try {
    withFile(sys, temporary, O_WRONLY | O_CREAT | O_TRUNC | sys.flags.O_NOFOLLOW, mode, (fd) => {
      writeAll(sys, fd, sys.arena.encode(text), temporary);
      check(sys.call(sys.nr.fchmod, fd, mode), 'chmod', temporary);
      if (options.durable) check(sys.call(sys.nr.fsync, fd), 'fsync', temporary);
    });
    renameFile(sys, temporary, path);
  } catch (error) {
    sys.arena.scope(() => sys.call(sys.nr.unlinkat, AT_FDCWD, sys.arena.textAddress(temporary), 0));
    throw error;
  }
}

/** Names in a directory, without `.` and `..`, in the kernel's order. Undefined when there is no such directory. */
export function listDir(sys: Syscalls, path: string): string[] | undefined {
  const fd = tryOpen(sys, path, O_RDONLY | sys.flags.O_DIRECTORY);
  if (fd === -ENOENT) return undefined;
  check(fd, 'open', path);
  try {
    return readEntries(sys, fd, path);
  } finally {
    closeFd(sys, fd);
  }
}

// struct linux_dirent64: u64 ino, s64 off, u16 reclen, u8 type, char name[] at 19
function readEntries(sys: Syscalls, fd: number, path: string): string[] {
  const names: string[] = [];
  readChunks(sys, fd, path, (entries, bytes) => {
    for (let at = 0; at < bytes.length; at += entries.u16(at + 16)) {
      const name = entryName(entries, bytes, at);
      if (name !== '.' && name !== '..') names.push(name);
    }
  });
  return names;
}

function entryName(entries: Slot, bytes: Uint8Array, at: number): string {
  return entries.text(at + 19, bytes.indexOf(0, at + 19) - at - 19);
}

/** Calls `onChunk` with entries that are complete: the slot they lie in, and how many bytes they take. */
function readChunks(
  sys: Syscalls,
  fd: number,
  path: string,
  onChunk: (entries: Slot, bytes: Uint8Array) => void,
): void {
  sys.arena.scope(() => {
    const entries = sys.arena.buffer(CHUNK_BYTES);
    for (;;) {
      const count = check(sys.call(sys.nr.getdents64, fd, entries.address, entries.length), 'list', path);
      if (count === 0) return;
      onChunk(entries, entries.bytes(0, count));
    }
  });
}

/**
 * The names in a directory that have this inode. Reads only the numbers, so that thousands of other names cost little. Empty where the
 * directory and stat(2) number files differently, as in some overlay file systems.
 */
export function namesOfInode(sys: Syscalls, path: string, inode: number): string[] {
  const [low, high] = [inode % 2 ** 32, Math.floor(inode / 2 ** 32)];
  const names: string[] = [];
  withFile(sys, path, O_RDONLY | sys.flags.O_DIRECTORY, 0, (fd) =>
    readChunks(sys, fd, path, (entries, bytes) => {
      // Entries are aligned to 8, as slots are.
      const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
      for (let at = 0; at < words.length; at += ((words[at + 4] ?? 0) & 0xffff) >> 2) {
        if (words[at] === low && words[at + 1] === high) names.push(entryName(entries, bytes, at * 4));
      }
    }),
  );
  return names;
}

/** The parts of a file's status that matter here. `inode` and `device` together identify the file. */
export interface FileStatus {
  /** File type and permission bits, as in st_mode. */
  readonly mode: number;
  readonly inode: number;
  readonly device: string;
  readonly sizeBytes: number;
}

export const S_IFMT = 0o170000;
export const S_IFREG = 0o100000;
export const S_IFDIR = 0o040000;

/** The status of a path (not following a last link), or undefined when there is nothing. */
export function statPath(sys: Syscalls, path: string): FileStatus | undefined {
  return sys.arena.scope(() => {
    const name = sys.arena.textAddress(path);
    return statAt(sys, AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, path);
  });
}

/** The status of an open file. */
export function statFd(sys: Syscalls, fd: number): FileStatus {
  const { arena } = sys;
  const mark = arena.mark();
  try {
    const status = statAt(sys, fd, arena.textAddress(''), AT_EMPTY_PATH, `fd ${fd}`);
    if (status === undefined) throw new SysError('stat', `fd ${fd}`, ENOENT);
    return status;
  } finally {
    arena.release(mark);
  }
}
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;

// struct statx: u16 mode at 28, u64 ino at 32, u64 size at 40, u32 dev_major at 136, u32 dev_minor at 140
function statAt(sys: Syscalls, dir: number, name: number, flags: number, path: string): FileStatus | undefined {
  const buffer = sys.arena.alloc(256);
  const value = sys.call(sys.nr.statx, dir, name, flags, STATX_BASIC_STATS, buffer.address);
  if (value === -ENOENT) return undefined;
  check(value, 'stat', path);
  return {
    mode: buffer.u16(28),
    inode: buffer.u64(32),
    device: `${buffer.u32(136)}:${buffer.u32(140)}`,
    sizeBytes: buffer.u64(40),
  };
}

/** Runs `body` holding an exclusive flock(2) on `path`, made when missing; waits as long as it is held. */
export function withLock<T>(sys: Syscalls, path: string, mode: number, body: () => T): T {
  return withFile(sys, path, O_RDWR | O_CREAT, mode, (fd) => {
    check(uninterrupted(sys, sys.nr.flock, fd, LOCK_EX), 'lock', path);
    return body();
  });
}

/** As `withLock`, but undefined at once when somebody else holds it. */
export function withLockIfFree<T>(
  sys: Syscalls,
  path: string,
  mode: number,
  body: () => T,
): { readonly value: T } | undefined {
  return withFile(sys, path, O_RDWR | O_CREAT, mode, (fd) => {
    const locked = uninterrupted(sys, sys.nr.flock, fd, LOCK_EX | LOCK_NB);
    if (locked === -EAGAIN) return undefined;
    check(locked, 'lock', path);
    return { value: body() };
  });
}

/** The bytes of all parts, one behind the other. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
