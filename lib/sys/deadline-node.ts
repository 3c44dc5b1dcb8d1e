// The end of a process whose event loop stands still: by the kernel's timers and functions of libc, so that it needs
// neither a thread nor memory, and works while JavaScript is stuck in an endless loop or in a system call.
//
// Two stages. A timer, set anew at every beat, fires once the loop has been silent for FIRST_SEC; its signal's handler
// is libc's alarm(3), which is called with the signal's number and so gives the process SIGVTALRM (26) more seconds.
// Then SIGALRM comes, whose handler is libc's _exit(2): the exit code is SIGALRM (14). Both stages need the process to
// run: one that was stopped (SIGSTOP, a frozen cgroup, a machine in suspension) goes on with the first stage when it
// continues, and the next beat calls everything off. With a single timer it would be ended for having been stopped.
// Handlers are used, not the signals' default action, since that does nothing to process 1 of a container.
// signal(2), timer_create(2), alarm(2).

import koffi from 'koffi';
import { check } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

const SIGALRM = 14;
const SIGVTALRM = 26;
const CLOCK_MONOTONIC = 1;
const FIRST_SEC = 4;

/** How long the loop may stand still, in seconds. */
export const STILL_SEC = FIRST_SEC + SIGVTALRM;

export interface Deadline {
  /** The loop runs: it may now stand still for STILL_SEC. Call at least every few seconds. */
  beat(): void;
  /** From now on no beat counts: the process is ended after so many seconds, if it has not ended by itself. */
  last(seconds: number): void;
}

/** Sets the first deadline. Throws SysError. */
export function startDeadline(sys: Syscalls): Deadline {
  const libc = koffi.load('libc.so.6');
  const addressOf = (name: string): number => Number(koffi.address(libc.symbol(name)));
  const signal = libc.func('int64_t signal(int signal, int64_t handler)');
  const alarm = libc.func('uint32_t alarm(uint32_t seconds)');
  signal(SIGVTALRM, addressOf('alarm'));
  signal(SIGALRM, addressOf('_exit'));
  const timer = createTimer(sys, SIGVTALRM);
  let isLast = false;
  const beat = (): void => {
    if (isLast) return;
    setTimer(sys, timer, FIRST_SEC);
    alarm(0);
  };
  beat();
  return {
    beat,
    last(seconds) {
      isLast = true;
      setTimer(sys, timer, 0);
      alarm(seconds);
    },
  };
}

// struct sigevent, 64 bytes: u64 value, s32 signal, s32 how (0: a signal to the process)
function createTimer(sys: Syscalls, signal: number): number {
  return sys.arena.scope(() => {
    const event = sys.arena.alloc(64);
    event.setI32(8, signal);
    const id = sys.arena.alloc(4);
    check(sys.call(sys.nr.timer_create, CLOCK_MONOTONIC, event.address, id.address), 'create', 'timer');
    return id.u32(0);
  });
}

// struct itimerspec: the interval and the time to go, each u64 seconds, u64 nanoseconds
function setTimer(sys: Syscalls, id: number, seconds: number): void {
  sys.arena.scope(() => {
    const times = sys.arena.alloc(32);
    times.setU64(16, seconds);
    check(sys.call(sys.nr.timer_settime, id, 0, times.address, 0), 'set', 'timer');
  });
}
