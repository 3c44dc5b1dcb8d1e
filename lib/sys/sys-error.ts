// The error of a failed system call: what was tried, on what path or object, and the errno.

import { OpError } from '../errors.ts';
import { EINTR, errnoName } from './errno.ts';
import type { Syscalls } from './syscalls.ts';

export class SysError extends OpError {
  /** Positive errno. */
  readonly errno: number;

  constructor(op: string, object: string, errno: number, subsystem = 'sys') {
    super({ subsystem, op, object, code: errnoName(errno) });
    this.name = 'SysError';
    this.errno = Math.abs(errno);
  }
}

/** The value of a system call, or a SysError when it is −errno. */
export function check(value: number, op: string, object: string): number {
  if (value < 0) throw new SysError(op, object, -value);
  return value;
}

/** Makes a system call again for as long as a signal interrupts it; returns value or −errno. */
export function uninterrupted(
  sys: Syscalls,
  nr: number,
  a?: number,
  b?: number,
  c?: number,
  d?: number,
  e?: number,
  f?: number,
): number {
  for (;;) {
    const value = sys.call(nr, a, b, c, d, e, f);
    if (value !== -EINTR) return value;
  }
}
