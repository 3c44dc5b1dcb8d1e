// How the agent's process ends. Two of libuv's threads sit in poll(2) on netlink sockets, and process.exit, like an
// uncaught exception, waits for them for ever; so every end is the system call that ends all threads, exit_group(2).

import { errorText } from '../../lib/errors.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Logger } from '../health/log.ts';

const EXIT_FAILURE = 1;

/** Ends the process at once, whatever its threads wait for. */
export function endProcess({ call, nr }: Syscalls, code: number): never {
  call(nr.exit_group, code);
  throw new Error('exit_group returned');
}

/** An exception or rejection nobody caught: one line, then the end, since nobody knows what it left half done. */
export function endOnFault(sys: Syscalls, log: Logger): void {
  process.on('uncaughtException', (error: unknown, origin) => {
    try {
      const stack = error instanceof Error ? error.stack : undefined;
      log.error({ err: errorText(error), origin, stack }, 'ended by an error nobody expected');
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
