// Waits for sockets from Node without a loop that polls: one thread of libuv's pool waits in poll(2) on the sockets and an eventfd, as
// lib/netlink/events-node.ts does for netlink.

import { closeFd, writeAll } from './file.ts';
import { loadPoll, pollfdsFor } from './poll-node.ts';
import { check } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

export interface FdWatch {
  /** Stops waiting and closes the descriptors; resolves when nothing is left that keeps the process alive. */
  close(): Promise<void>;
}

export interface FdWatchOptions {
  /** The descriptors, which are closed when the watch ends. */
  readonly fds: readonly number[];
  /** Something can be read. It must read all descriptors empty, error queues included, or it is called again at once. */
  readonly onReady: () => void;
  /**
   * When above 0, `onReady` is called at this interval in milliseconds, and not when something arrives. Where packets arrive all the time,
   * this means fewer wake-ups.
   */
  readonly everyMs?: () => number;
  /** The watch ended by itself: poll failed, or `onReady` threw. */
  readonly onError: (error: unknown) => void;
}

const EFD_CLOEXEC = 0o2000000;
const WAKE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
/** A signal may interrupt poll from time to time. */
const MAX_POLL_FAILURES = 100;

interface State {
  closing: boolean;
  /** Ends a pause early. */
  wake: () => void;
}

/** Waits until closed. Throws SysError; then the caller still owns the descriptors. */
export function watchFds(sys: Syscalls, { fds, onReady, onError, everyMs = () => 0 }: FdWatchOptions): FdWatch {
  const stopFd = check(sys.call(sys.nr.eventfd2, 0, EFD_CLOEXEC), 'open', 'eventfd');
  const state: State = { closing: false, wake: () => undefined };
  const done = wait(sys, [...fds, stopFd], state, onReady, everyMs).catch((error: unknown) => {
    state.closing = true;
    onError(error);
  });
  const closed = done.finally(() => {
    for (const fd of [...fds, stopFd]) closeFd(sys, fd);
  });
  return {
    close: () => {
      if (!state.closing) {
        state.closing = true;
        writeAll(sys, stopFd, WAKE, 'eventfd');
        state.wake();
      }
      return closed;
    },
  };
}

async function wait(
  sys: Syscalls,
  fds: readonly number[],
  state: State,
  onReady: () => void,
  everyMs: () => number,
): Promise<void> {
  const poll = loadPoll();
  const pollfds = pollfdsFor(sys, ...fds);
  let failures = 0;
  while (!state.closing) {
    const restMs = everyMs();
    if (restMs > 0) await rest(state, restMs);
    // The result of poll is of no use, because its errno belongs to the pool's thread. Reading shows whether there is anything.
    else failures = (await poll(pollfds.address, fds.length, -1)) < 0 ? failures + 1 : 0;
    if (failures > MAX_POLL_FAILURES) throw new Error('poll on sockets fails again and again');
    if (!state.closing) onReady();
  }
}

function rest(state: State, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    state.wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}
