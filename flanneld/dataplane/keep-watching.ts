// Watches netlink groups for as long as the agent runs. A watch that fails is started again, and its users list everything
// again.

import type { Clock } from '../../lib/clock-node.ts';
import { type EventWatch, type WatchOptions, watchEvents } from '../../lib/netlink/events-node.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { createFailureLog, type Logger } from '../health/log.ts';

const RESTART_MS = 1000;

export interface WatchTools {
  readonly sys: Syscalls;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Like watchEvents, but a failure is logged and a new watch is started. The first start may throw SysError. */
export function keepWatching(tools: WatchTools, options: Omit<WatchOptions, 'onError'>): EventWatch {
  const failures = createFailureLog(tools.log);
  let closed = false;
  let cancelTimer: (() => void) | undefined;
  let watch: EventWatch | undefined;
  const again = (error: unknown): void => {
    if (closed) return;
    failures.failed('watch', error, { groups: options.groups }, 'kernel events were interrupted, will watch again');
    cancelTimer = tools.clock.after(RESTART_MS, () => {
      try {
        start();
        options.onOverflow();
        options.onDrained?.();
      } catch (reason) {
        again(reason);
      }
    });
  };
  const start = (): void => {
    watch = watchEvents(tools.sys, { ...options, onError: again });
  };
  start();
  return {
    async settle() {
      await watch?.settle();
    },
    async close() {
      closed = true;
      cancelTimer?.();
      await watch?.close();
    },
  };
}
