// Symbolic links: symlink(2) and readlink(2).

import { EEXIST, EINVAL, ENAMETOOLONG, ENOENT } from '../sys/errno.ts';
import { AT_FDCWD } from '../sys/file.ts';
import { check } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';

/** Longest target of interest here, in bytes. */
const TARGET_BYTES = 256;

/** Makes `path` a link to `target`. False when there is something of that name. Throws SysError. */
export function makeLink(sys: Syscalls, target: string, path: string): boolean {
  const value = sys.arena.scope(() => {
    const to = sys.arena.cstring(target).address;
    return sys.call(sys.nr.symlinkat, to, AT_FDCWD, sys.arena.cstring(path).address);
  });
  if (value === -EEXIST) return false;
  check(value, 'link', path);
  return true;
}

/** Where a link leads; undefined when there is no link of that name. Throws SysError. */
export function readLink(sys: Syscalls, path: string): string | undefined {
  return sys.arena.scope(() => {
    const name = sys.arena.cstring(path).address;
    const target = sys.arena.buffer(TARGET_BYTES);
    const length = sys.call(sys.nr.readlinkat, AT_FDCWD, name, target.address, TARGET_BYTES);
    if (length === -ENOENT || length === -EINVAL || length === -ENAMETOOLONG) return undefined;
    return target.text(0, check(length, 'read link', path));
  });
}
