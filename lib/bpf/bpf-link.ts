// Links: each attaches a program to a device's tcx hook, from Linux 6.6 on (bpf(2), BPF_LINK_CREATE; Documentation/bpf, linux/bpf.h). A
// link ends with its last descriptor or pin, and detaches by itself when its device goes. Older kernels: lib/rtnetlink/bpf-filter.ts.

import { ENODEV, ENOENT } from '../sys/errno.ts';
import { check } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { BPF_LINK_CREATE, BPF_LINK_UPDATE, BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_QUERY, bpf, tryBpf } from './bpf-call.ts';

const BPF_TCX_INGRESS = 46;
const BPF_TCX_EGRESS = 47;
const BPF_LINK_TYPE_TCX = 11;
const LINK_INFO_BYTES = 64;
const MOST_PROGRAMS = 64;

/**
 * Attaches a program, after those of others, for packets that arrive at a device, and returns the link's descriptor. Throws SysError:
 * EINVAL before 6.6.
 */
export function attachIngress(sys: Syscalls, program: number, ifindex: number): number {
  return bpf(sys, BPF_LINK_CREATE, ['attach program to ingress of', `if${ifindex}`], (attr) => {
    attr.setU32(0, program);
    attr.setU32(4, ifindex);
    attr.setU32(8, BPF_TCX_INGRESS);
  });
}

/** Replaces the program of a link. Each packet meets either the old or the new one. Throws SysError. */
export function replaceLinkProgram(sys: Syscalls, link: number, program: number): void {
  bpf(sys, BPF_LINK_UPDATE, ['replace the program of', `link fd ${link}`], (attr) => {
    attr.setU32(0, link);
    attr.setU32(4, program);
  });
}

export interface LinkInfo {
  readonly programId: number;
  /** 0 when the link was detached, or its device is gone. */
  readonly ifindex: number;
}

/** The program and device of a tcx link for arriving packets; undefined for a link of another type. Throws SysError. */
export function linkInfo(sys: Syscalls, link: number): LinkInfo | undefined {
  return sys.arena.scope(() => {
    const info = sys.arena.alloc(LINK_INFO_BYTES);
    bpf(sys, BPF_OBJ_GET_INFO_BY_FD, ['look at', `link fd ${link}`], (attr) => {
      attr.setU32(0, link);
      attr.setU32(4, info.length);
      attr.setU64(8, info.address);
    });
    // u32 type, id, prog_id; then for tcx, aligned to 8: u32 ifindex, attach_type
    if (info.u32(0) !== BPF_LINK_TYPE_TCX || info.u32(20) !== BPF_TCX_INGRESS) return undefined;
    return { programId: info.u32(8), ifindex: info.u32(16) };
  });
}

/**
 * The ids of the programs at a device's tcx hook, in the order in which they run. Empty when the device is gone. Throws SysError: EINVAL
 * before 6.6.
 */
export function listPrograms(sys: Syscalls, ifindex: number, hook: 'ingress' | 'egress'): number[] {
  return sys.arena.scope(() => {
    const ids = sys.arena.alloc(4 * MOST_PROGRAMS);
    let count = 0;
    const value = tryBpf(
      sys,
      BPF_PROG_QUERY,
      (attr) => {
        attr.setU32(0, ifindex);
        attr.setU32(4, hook === 'ingress' ? BPF_TCX_INGRESS : BPF_TCX_EGRESS);
        attr.setU64(16, ids.address);
        attr.setU32(24, MOST_PROGRAMS);
      },
      (attr) => {
        count = attr.u32(24);
      },
    );
    if (value === -ENODEV || value === -ENOENT) return [];
    check(value, `bpf list programs at ${hook} of`, `if${ifindex}`);
    return Array.from({ length: Math.min(count, MOST_PROGRAMS) }, (_, index) => ids.u32(4 * index));
  });
}
