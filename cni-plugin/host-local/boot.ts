// Which address files are older than this boot. Pods do not survive one, their files do: the folder is on a
// disk. `.boot` beside them holds the boot's id, and its time of change divides old from new.

import { AT_FDCWD, O_CREAT, O_WRONLY, readTextIfPresent, withFile, writeAll } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { AddressStore } from './store.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/** Says of `.boot` whether an earlier boot wrote it before this one did; without that, what is older proves nothing. */
const REPLACED = 'replaced';
const FIRST = 'first';

function stampPath(store: AddressStore): string {
  return `${store.folder}/.boot`;
}

/** Notes the current boot beside the addresses, once a boot; the lock is held. */
export function stampBoot(store: AddressStore): void {
  const { sys } = store;
  const id = readTextIfPresent(sys, BOOT_ID, 256)?.trim();
  const stamp = readTextIfPresent(sys, stampPath(store), 256);
  if (id === undefined || stamp?.startsWith(id) === true) return;
  // Whoever was killed before it had written left it empty.
  const history = (stamp ?? '') === '' ? FIRST : REPLACED;
  const path = stampPath(store);
  // Nobody reads it without the lock, and ids have one length: in place, nothing temporary can be left behind.
  withFile(sys, path, O_WRONLY | O_CREAT, 0o600, (fd) => {
    writeAll(sys, fd, sys.arena.encode(`${id} ${history}\n`), path);
  });
}

/** When a file was last written, in nanoseconds since 1970; undefined when there is none. */
function modifiedNs(sys: Syscalls, path: string): bigint | undefined {
  return sys.arena.scope(() => {
    // struct statx: stx_mtime is { s64 sec, u32 nsec } at 112
    const status = sys.arena.alloc(256);
    const value = sys.call(sys.nr.statx, AT_FDCWD, sys.arena.cstring(path).address, 0, 0x7ff, status.address);
    return value < 0 ? undefined : status.view.getBigInt64(112, true) * 1_000_000_000n + BigInt(status.u32(120));
  });
}

/** Tells address files of earlier boots from others; a clock that was set back makes old ones look new, not the reverse. */
export function earlierBootTest(store: AddressStore): (name: string) => boolean {
  const { sys } = store;
  const stamped = modifiedNs(sys, stampPath(store));
  const stamp = readTextIfPresent(sys, stampPath(store), 256) ?? '';
  if (stamped === undefined || !stamp.trimEnd().endsWith(REPLACED)) return () => false;
  return (name) => {
    const modified = modifiedNs(sys, `${store.folder}/${name}`);
    return modified !== undefined && modified < stamped;
  };
}
