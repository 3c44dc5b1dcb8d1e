// The call of bpf(2) that all files here use: a zeroed union bpf_attr in the arena is filled in and passed (linux/bpf.h).

import type { Slot } from '../sys/arena.ts';
import { EINTR } from '../sys/errno.ts';
import { check } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';

/** Every field used here is in front of this offset. A kernel that knows fewer bytes accepts zeros behind them. */
const ATTR_BYTES = 128;

/** Commands, linux/bpf.h enum bpf_cmd. */
export const BPF_MAP_CREATE = 0;
export const BPF_MAP_LOOKUP_ELEM = 1;
export const BPF_MAP_UPDATE_ELEM = 2;
export const BPF_MAP_DELETE_ELEM = 3;
export const BPF_PROG_LOAD = 5;
export const BPF_OBJ_PIN = 6;
export const BPF_OBJ_GET = 7;
export const BPF_PROG_TEST_RUN = 10;
export const BPF_OBJ_GET_INFO_BY_FD = 15;
export const BPF_PROG_QUERY = 16;
export const BPF_BTF_GET_FD_BY_ID = 19;
export const BPF_BTF_GET_NEXT_ID = 23;
export const BPF_MAP_LOOKUP_BATCH = 24;
export const BPF_MAP_UPDATE_BATCH = 26;
export const BPF_LINK_CREATE = 28;
export const BPF_LINK_UPDATE = 29;

/**
 * Makes one call and returns its value, or −errno. `fill` writes the attributes and may allocate in the arena; `read` may read what the
 * kernel wrote into them.
 */
export function tryBpf(
  sys: Syscalls,
  command: number,
  fill: (attr: Slot) => void,
  read?: (attr: Slot, value: number) => void,
): number {
  return sys.arena.scope(() => {
    const attr = sys.arena.alloc(ATTR_BYTES);
    fill(attr);
    let value: number;
    do value = sys.call(sys.nr.bpf, command, attr.address, ATTR_BYTES);
    while (value === -EINTR);
    read?.(attr, value);
    return value;
  });
}

/** Like `tryBpf`, but throws a SysError that names what was tried on what: `bpf: create map pods: EPERM`. */
export function bpf(
  sys: Syscalls,
  command: number,
  what: readonly [op: string, object: string],
  fill: (attr: Slot) => void,
  read?: (attr: Slot, value: number) => void,
): number {
  return check(tryBpf(sys, command, fill, read), `bpf ${what[0]}`, what[1]);
}

/** Writes the name of a map or program: at most 15 letters, digits, dots and underscores, then a NUL. */
export function setName(sys: Syscalls, attr: Slot, at: number, name: string): void {
  if (!/^[\w.]{1,15}$/.test(name)) throw new RangeError(`bpf: no name for an object: ${JSON.stringify(name)}`);
  attr.set(sys.arena.encode(name), at);
}
