// Pins: names in a bpffs for maps, programs and links, which keep these alive while no process has them open (bpf(2), BPF_OBJ_PIN and
// BPF_OBJ_GET).

import { ENOENT } from '../sys/errno.ts';
import { check } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { BPF_OBJ_GET, BPF_OBJ_PIN, bpf, tryBpf } from './bpf-call.ts';

const BPF_FS_MAGIC = 0xcafe4a11;
const STATFS_BYTES = 120;

/** Gives an object a name; dots are not allowed in it. Throws SysError: EEXIST, and EPERM outside of a bpffs. */
export function pinObject(sys: Syscalls, fd: number, path: string): void {
  bpf(sys, BPF_OBJ_PIN, ['pin', path], (attr) => {
    attr.setU64(0, sys.arena.textAddress(path));
    attr.setU32(8, fd);
  });
}

/** A descriptor of the object with this name; undefined when there is none. Throws SysError. */
export function openPinned(sys: Syscalls, path: string): number | undefined {
  const value = tryBpf(sys, BPF_OBJ_GET, (attr) => attr.setU64(0, sys.arena.textAddress(path)));
  return value === -ENOENT ? undefined : check(value, 'bpf open', path);
}

/** Whether a directory lies in a bpffs. False when there is none. */
export function isBpffs(sys: Syscalls, path: string): boolean {
  return sys.arena.scope(() => {
    const buffer = sys.arena.alloc(STATFS_BYTES);
    return sys.call(sys.nr.statfs, sys.arena.textAddress(path), buffer.address) >= 0 && buffer.u32(0) === BPF_FS_MAGIC;
  });
}
