// The QuickJS binding of Syscalls, over the one global the host in C gives the CNI executable
// (cni-plugin/host.c), and the executable's surroundings: arguments, environment, output.

import type { Native } from '../native.ts';
import { ARENA_BYTES, Arena, type Poison, type Utf8 } from './arena.ts';
import { type Arch, archFlags, syscallNumbers } from './numbers.ts';
import type { Syscalls } from './syscalls.ts';

/** What the program leaves: the host writes it whole and exits with `code` (0–255), or exits 1. */
export interface ProgramOutput {
  readonly code: number;
  readonly stdout: string;
  readonly stderr?: string;
}

/** What host.c defines, as it defines it. */
interface Host extends Utf8, Native {
  readonly arch: Arch;
  readonly syscall: Syscalls['call'];
  readonly detach: Syscalls['detach'];
  /** Memory that stays where it is, and its address. */
  map(length: number): [memory: ArrayBuffer, address: number];
  /** Throws a TypeError on a value that is not UTF-8; so do the two below. */
  env(name: string): string | undefined;
  args(): string[];
  environment(): string[];
  /** Only in the sanitizer build. */
  readonly poison?: Poison;
}

declare const host: Host;

const SIGCHLD = 17;

/** System calls by the host, and the arena it maps. Throws when there is no address space left. */
export function openHostSyscalls(): Syscalls {
  const { arch } = host;
  const nr = syscallNumbers(arch);
  const call = host.syscall;
  const [memory, address] = host.map(ARENA_BYTES);
  return {
    arch,
    nr,
    flags: archFlags(arch),
    arena: new Arena(memory, address, host, host.poison),
    call,
    // Without a stack of its own the child goes on with a copy of ours, as after fork(2).
    fork: () => call(nr.clone, SIGCHLD),
    detach: host.detach,
  };
}

/** The loops that the host makes in C. */
export function hostNative(): Native {
  return host;
}

/** An environment variable, undefined when it is not set. Throws on a value that is not UTF-8. */
export function hostEnv(name: string): string | undefined {
  return host.env(name);
}

/** The arguments, the program's own name first. Throws on one that is not UTF-8. */
export function hostArgs(): string[] {
  return host.args();
}

/** The whole environment as `NAME=value`, for a child to inherit. Throws on an entry that is not UTF-8. */
export function hostEnvironment(): string[] {
  return host.environment();
}
