// Where the fast path of an overlay is pinned, and how that is removed. Names in a bpffs may have no dots.

import { isBpffs } from '../../lib/bpf/pin.ts';
import { listDir, removeDir, removeFile } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

/** Where systemd mounts a bpffs. */
export const PIN_ROOT = '/sys/fs/bpf';
/** A link's pin, by the index of its device. */
export const LINK_PIN = /^link_(\d+)$/;
const FOLDER = /^weft_\d+$/;

export function pinFolderOf(vni: number): string {
  return `${PIN_ROOT}/weft_${vni}`;
}

/** The folders of all VNIs that are there. Throws SysError. */
export function pinFolders(sys: Syscalls): string[] {
  if (!isBpffs(sys, PIN_ROOT)) return [];
  return (listDir(sys, PIN_ROOT) ?? []).filter((name) => FOLDER.test(name)).map((name) => `${PIN_ROOT}/${name}`);
}

/** Removes every pin, and with it all programs that no running agent has open. False when there was nothing. Throws SysError. */
export function removePins(sys: Syscalls, folder: string): boolean {
  const names = listDir(sys, folder);
  if (names === undefined) return false;
  // Links first: then no program sees an empty map.
  for (const name of [...names].sort((a, b) => Number(LINK_PIN.test(b)) - Number(LINK_PIN.test(a)))) {
    removeFile(sys, `${folder}/${name}`);
  }
  return removeDir(sys, folder);
}
