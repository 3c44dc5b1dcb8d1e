// Removes what the fast path has pinned.

import { listDir, removeDir, removeFile } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

/** The pin of a link; the number is the index of its device. */
export const LINK_PIN = /^link_(\d+)$/;

/** Removes every pin, and with it all programs that no running agent holds open. Returns false when there was nothing. Throws SysError. */
export function removePins(sys: Syscalls, folder: string): boolean {
  const names = listDir(sys, folder);
  if (names === undefined) return false;
  // Links come first, so that no program sees an empty map.
  for (const name of [...names].sort((a, b) => Number(LINK_PIN.test(b)) - Number(LINK_PIN.test(a)))) {
    removeFile(sys, `${folder}/${name}`);
  }
  return removeDir(sys, folder);
}

/** Removes the pins of links. This detaches all programs that no running agent holds open. Throws SysError. */
export function removeLinkPins(sys: Syscalls, folder: string): void {
  for (const name of listDir(sys, folder) ?? []) if (LINK_PIN.test(name)) removeFile(sys, `${folder}/${name}`);
}
