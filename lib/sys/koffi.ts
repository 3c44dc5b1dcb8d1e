// The Node binding of Syscalls: libc's syscall(2) through koffi, the arena in memory the kernel mapped.
// Everything here runs on the calling thread, so setns around it is safe as long as nothing is awaited.

import koffi from 'koffi';
import { ARENA_BYTES, Arena, type Utf8 } from './arena.ts';
import { type Arch, archFlags, syscallNumbers } from './numbers.ts';
import type { Syscalls } from './syscalls.ts';

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x4022;

/** Loads libc and maps the arena. Throws on an architecture other than x86-64 and arm64. */
export function openKoffiSyscalls(): Syscalls {
  const arch = supportedArch(process.arch);
  const nr = syscallNumbers(arch);
  const call = rawSyscall();
  const address = call(nr.mmap, 0, ARENA_BYTES, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_NORESERVE, -1);
  if (address < 0) throw new Error(`mmap of ${ARENA_BYTES} bytes: errno ${-address}`);
  const memory = koffi.view(BigInt(address), ARENA_BYTES);
  const arena = new Arena(memory, address, utf8());
  return { arch, nr, flags: archFlags(arch), arena, call, fork: refuseFork, detach: refuseFork };
}

function refuseFork(): never {
  throw new Error('fork: a process with threads cannot go on in the child; use node:child_process');
}

function supportedArch(arch: string): Arch {
  if (arch === 'x64' || arch === 'arm64') return arch;
  throw new Error(`unsupported processor ${arch}: x64 or arm64 is needed`);
}

function rawSyscall(): Syscalls['call'] {
  const libc = koffi.load('libc.so.6');
  // Declared with its six arguments: syscall(2) is variadic in C, but reads the same registers on
  // both architectures. int64_t only: koffi hands back a number where one fits, else a bigint.
  const syscall = libc.func(
    'int64_t syscall(int64_t nr, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f)',
  ) as (...args: number[]) => number | bigint;
  return (nr, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0) => {
    const value = Number(syscall(nr, a, b, c, d, e, f));
    return value === -1 ? -koffi.errno() : value;
  };
}

function utf8(): Utf8 {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const refuseLoneSurrogate = (text: string): void => {
    if (!text.isWellFormed()) throw new RangeError('text has a lone surrogate');
  };
  return {
    encode(text) {
      refuseLoneSurrogate(text);
      return encoder.encode(text);
    },
    encodeInto(text, bytes, at) {
      refuseLoneSurrogate(text);
      const { read, written } = encoder.encodeInto(text, bytes.subarray(at));
      if (read < text.length) throw new RangeError('text does not fit');
      return written;
    },
    decode: (bytes) => decoder.decode(bytes),
  };
}
