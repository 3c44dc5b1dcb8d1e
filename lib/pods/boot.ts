// Which address files are older than this boot. Pods do not survive one, their files do: the folder is on a
// disk. `.boot` beside them holds the boot's id, and its time of change divides old from new.

import { AT_FDCWD, closeFd, readTextIfPresent, removeFile, writeAll } from '../sys/file.ts';
import { openInPlace, readForeignText } from '../sys/foreign-file.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import type { AddressStore } from './address-store.ts';

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
  const stamp = readStamp(store);
  if (id === undefined || stamp.startsWith(id)) return;
  // Whoever was killed before it had written left it empty.
  const history = stamp === '' ? FIRST : REPLACED;
  const path = stampPath(store);
  // Nobody reads it without the lock, and ids have one length: in place, nothing temporary can be left behind.
  const fd = openInPlace(sys, path, 0o600);
  try {
    writeAll(sys, fd, sys.arena.encode(`${id} ${history}\n`), path);
  } finally {
    closeFd(sys, fd);
  }
}

/** '' when there is none; what cannot be read goes, as it would say neither that this boot is noted nor that another was. */
function readStamp(store: AddressStore): string {
  const read = readForeignText(store.sys, stampPath(store), 256);
  if (read !== 'unreadable') return read?.text ?? '';
  removeFile(store.sys, stampPath(store));
  return '';
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

/**
 * Tells files of earlier boots from others, by path; a clock that was set back makes old ones look new, not the reverse.
 * Where this boot is not noted yet, all there is is older.
 */
export function earlierBootTest(store: AddressStore): (path: string) => boolean {
  const { sys } = store;
  const id = readTextIfPresent(sys, BOOT_ID, 256)?.trim();
  const stamp = readStamp(store).trimEnd();
  const stamped = modifiedNs(sys, stampPath(store));
  if (stamped === undefined || stamp === '' || id === undefined) return () => false;
  if (!stamp.startsWith(id)) return (path) => modifiedNs(sys, path) !== undefined;
  if (!stamp.endsWith(REPLACED)) return () => false;
  return (path) => {
    const modified = modifiedNs(sys, path);
    return modified !== undefined && modified < stamped;
  };
}
