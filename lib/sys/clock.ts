// Time from the kernel, for both engines: clock_gettime(2), clock_nanosleep(2).

import { check, uninterrupted } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

const CLOCK_MONOTONIC = 1;

/** Milliseconds of the monotonic clock, with fraction. */
export function monotonicMs(sys: Syscalls): number {
  return readClock(sys, CLOCK_MONOTONIC);
}

function readClock(sys: Syscalls, clock: number): number {
  return sys.arena.scope(() => {
    const time = sys.arena.buffer(16);
    check(sys.call(sys.nr.clock_gettime, clock, time.address), 'read', 'clock');
    return time.u64(0) * 1000 + time.u64(8) / 1e6;
  });
}

/** Blocks the calling thread for the whole time, even when signals arrive. */
export function sleepMs(sys: Syscalls, durationMs: number): void {
  sys.arena.scope(() => {
    const time = sys.arena.buffer(16);
    writeTimespec(time, durationMs);
    // The remainder overwrites the request, so an interrupted sleep continues where it was.
    uninterrupted(sys, sys.nr.clock_nanosleep, CLOCK_MONOTONIC, 0, time.address, time.address);
  });
}

/** Writes a struct timespec: seconds, nanoseconds. */
export function writeTimespec(slot: { setU64(at: number, value: number): void }, durationMs: number): void {
  const seconds = Math.floor(durationMs / 1000);
  slot.setU64(0, seconds);
  slot.setU64(8, Math.round((durationMs - seconds * 1000) * 1e6));
}
