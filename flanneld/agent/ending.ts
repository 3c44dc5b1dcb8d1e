// How the agent's process ends. Two of libuv's threads wait in poll(2) on netlink sockets. process.exit and an uncaught
// exception would wait for these threads for ever, so the agent always ends by exit_group(2), which ends all threads.

import { errorText } from '../../lib/errors.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Logger } from '../health/log.ts';

const EXIT_FAILURE = 1;

/** Ends the process at once, even while its threads wait in the kernel. */
export function endProcess({ call, nr }: Syscalls, code: number): never {
  call(nr.exit_group, code);
  throw new Error('exit_group returned');
}

/** Ends the process with one line of log on an exception or rejection that nothing caught: what it left half done is unknown. */
export function endOnFault(sys: Syscalls, log: Logger): void {
  process.on('uncaughtException', (error: unknown, origin) => {
    try {
      const stack = error instanceof Error ? error.stack : undefined;
      log.error({ err: errorText(error), origin, stack }, 'ended by an unexpected error');
    } finally {
      endProcess(sys, EXIT_FAILURE);
    }
  });
}

/** SIGTERM and SIGINT call `stop` once; a second one ends the process at once. */
export function stopOnSignal(sys: Syscalls, stop: (signal: string) => void): void {
  let isStopping = false;
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (isStopping) endProcess(sys, EXIT_FAILURE);
      isStopping = true;
      stop(name);
    });
  }
}
