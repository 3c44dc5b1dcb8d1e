// Loads programs, with the verifier's reason when it refuses one, reads their properties, and runs them on given packets (bpf(2);
// Documentation/bpf/verifier.rst, bpf_prog_run.rst).

import { OpError } from '../errors.ts';
import { errnoName } from '../sys/errno.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_LOAD, BPF_PROG_TEST_RUN, bpf, setName, tryBpf } from './bpf-call.ts';

const BPF_PROG_TYPE_SCHED_CLS = 3;
const INSTRUCTION_BYTES = 8;
/** The kernel offers its conntrack functions only to programs that are licensed under the GPL, possibly among others. */
const LICENCE = 'Dual MIT/GPL';
const LOG_BYTES = 1 << 20;
/** The last lines of the verifier's log name the instruction that it refuses. */
const LOG_LINES = 12;
const PROGRAM_INFO_BYTES = 80;
const MOST_MAPS = 64;

export interface ProgramSpec {
  /** At most 15 letters, digits, dots and underscores; `bpftool prog` shows it. */
  readonly name: string;
  /** The result of `linkProgram`. */
  readonly bytes: Uint8Array;
  /** BTF descriptors of the modules whose functions are called, by the index in the instructions; index 0 is unused. */
  readonly moduleBtf?: readonly number[];
}

/**
 * Loads a program for tcx or cls_bpf and returns its descriptor. Throws an OpError with the end of the verifier's log when the verifier
 * refuses it, and EPERM without CAP_BPF and CAP_NET_ADMIN.
 */
export function loadProgram(sys: Syscalls, spec: ProgramSpec): number {
  const value = tryLoad(sys, spec, 0, 0);
  if (value >= 0) return value;
  throw new OpError({
    subsystem: 'bpf',
    op: 'load program',
    object: spec.name,
    code: errnoName(value),
    detail: verifierLog(sys, spec),
  });
}

/**
 * Loads the program again with a log. Should the kernel accept it this time, it is closed at once, because the caller throws in any case.
 */
function verifierLog(sys: Syscalls, spec: ProgramSpec): string {
  return sys.arena.scope(() => {
    const log = sys.arena.alloc(LOG_BYTES);
    const value = tryLoad(sys, spec, log.address, log.length);
    if (value >= 0) sys.call(sys.nr.close, value);
    const bytes = log.bytes();
    const end = bytes.indexOf(0);
    const lines = sys.arena
      .decode(bytes.slice(0, end < 0 ? bytes.length : end))
      .trimEnd()
      .split('\n');
    return lines.slice(-LOG_LINES).join('\n');
  });
}

function tryLoad(sys: Syscalls, spec: ProgramSpec, logAddress: number, logBytes: number): number {
  return tryBpf(sys, BPF_PROG_LOAD, (attr) => {
    attr.setU32(0, BPF_PROG_TYPE_SCHED_CLS);
    attr.setU32(4, spec.bytes.length / INSTRUCTION_BYTES);
    attr.setU64(8, sys.arena.copy(spec.bytes).address);
    attr.setU64(16, sys.arena.textAddress(LICENCE));
    attr.setU32(24, logBytes > 0 ? 1 : 0);
    attr.setU32(28, logBytes);
    attr.setU64(32, logAddress);
    setName(sys, attr, 48, spec.name);
    const modules = spec.moduleBtf ?? [];
    if (modules.length === 0) return;
    const descriptors = sys.arena.alloc(4 * modules.length);
    for (const [index, fd] of modules.entries()) descriptors.setI32(4 * index, fd);
    attr.setU64(120, descriptors.address);
  });
}

export interface ProgramInfo {
  /** The program's id in the kernel. */
  readonly id: number;
  /** A hash of its instructions, in hexadecimal. Programs that differ only in their maps have the same. */
  readonly tag: string;
  readonly name: string;
  readonly mapIds: readonly number[];
}

/** Throws SysError. */
export function programInfo(sys: Syscalls, fd: number): ProgramInfo {
  return sys.arena.scope(() => {
    const maps = sys.arena.alloc(4 * MOST_MAPS);
    const info = sys.arena.alloc(PROGRAM_INFO_BYTES);
    info.setU32(52, MOST_MAPS);
    info.setU64(56, maps.address);
    bpf(sys, BPF_OBJ_GET_INFO_BY_FD, ['look at program', `fd ${fd}`], (attr) => {
      attr.setU32(0, fd);
      attr.setU32(4, info.length);
      attr.setU64(8, info.address);
    });
    const name = info.bytes(64, 16);
    return {
      id: info.u32(4),
      tag: [...info.bytes(8, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join(''),
      name: sys.arena.decode(name.slice(0, name.indexOf(0))),
      mapIds: Array.from({ length: Math.min(info.u32(52), MOST_MAPS) }, (_, index) => maps.u32(4 * index)),
    };
  });
}

/** Properties of a packet that are not in its bytes (struct __sk_buff). */
export interface PacketContext {
  /** The device by which it arrived. */
  readonly ifindex: number;
  /** The payload of each segment, if the packet will be segmented; 0 for any other. */
  readonly gsoSize?: number;
}

export interface RunResult {
  /** The program's verdict; −1 is TC_ACT_UNSPEC. */
  readonly verdict: number;
  readonly packet: Uint8Array;
  /** Nanoseconds for one run, the mean of `repeat` runs. */
  readonly durationNs: number;
}

/** struct __sk_buff: u32 ifindex at 40, gso_segs at 164, gso_size at 176; 192 bytes. */
const SKB_BYTES = 192;

/**
 * Runs a program on one packet (an Ethernet frame). Nothing is sent: a redirect is only a verdict. With `repeat` the program runs again on
 * its own output. Throws SysError.
 */
export function runProgram(
  sys: Syscalls,
  fd: number,
  frame: Uint8Array,
  context: PacketContext,
  repeat = 1,
): RunResult {
  return sys.arena.scope(() => {
    const packet = sys.arena.alloc(frame.length + 256);
    const skb = sys.arena.alloc(SKB_BYTES);
    skb.setU32(40, context.ifindex);
    const { gsoSize = 0 } = context;
    skb.setU32(164, gsoSize > 0 ? Math.ceil(frame.length / gsoSize) : 0);
    skb.setU32(176, gsoSize);
    let [verdict, length, durationNs] = [0, 0, 0];
    bpf(
      sys,
      BPF_PROG_TEST_RUN,
      ['run program', `fd ${fd}`],
      (attr) => {
        attr.setU32(0, fd);
        attr.setU32(8, frame.length);
        attr.setU32(12, packet.length);
        attr.setU64(16, sys.arena.copy(frame).address);
        attr.setU64(24, packet.address);
        attr.setU32(32, repeat);
        attr.setU32(40, skb.length);
        attr.setU64(48, skb.address);
      },
      (attr) => {
        verdict = attr.i32(4);
        length = attr.u32(12);
        durationNs = attr.u32(36);
      },
    );
    return { verdict, packet: packet.bytes(0, length).slice(), durationNs };
  });
}
