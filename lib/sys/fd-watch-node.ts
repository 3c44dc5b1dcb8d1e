// Waiting for sockets from Node without a loop that polls: one thread of libuv's pool sits in poll(2) on the sockets and an
// eventfd, as lib/netlink/events-node.ts does for netlink.

import { closeFd, writeAll } from './file.ts';
import { loadPoll, pollfdsFor } from './poll-node.ts';
import { check } from './sys-error.ts';
import type { Syscalls } from './syscalls.ts';

export interface FdWatch {
  /** Stops waiting and closes the descriptors; resolves when nothing is left that keeps the process alive. */
  close(): Promise<void>;
}

export interface FdWatchOptions {
  /** They are closed when the watch ends. */
  readonly fds: readonly number[];
  /** Something can be read. It must read all descriptors empty, error queues included, or it is called again at once. */
  readonly onReady: () => void;
  /**
   * How long to let more arrive after something did, in milliseconds; 0 when absent. The kernel stamps what it receives, so that
   * only the answers to others come later.
   */
  readonly gatherMs?: () => number;
  /** The watch ended by itself: poll failed, or `onReady` threw. */
  readonly onError: (error: unknown) => void;
}

const EFD_CLOEXEC = 0o2000000;
const WAKE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
/** A signal may interrupt poll now and then. */
const MAX_POLL_FAILURES = 100;

/** Waits until closed. Throws SysError; then the descriptors are still the caller's. */
export function watchFds(sys: Syscalls, { fds, onReady, onError, gatherMs = () => 0 }: FdWatchOptions): FdWatch {
  const stopFd = check(sys.call(sys.nr.eventfd2, 0, EFD_CLOEXEC), 'open', 'eventfd');
  const state = { closing: false };
  const done = wait(sys, [...fds, stopFd], state, onReady, gatherMs).catch((error: unknown) => {
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
      }
      return closed;
    },
  };
}

async function wait(
  sys: Syscalls,
  fds: readonly number[],
  state: { readonly closing: boolean },
  onReady: () => void,
  gatherMs: () => number,
): Promise<void> {
  const poll = loadPoll();
  const pollfds = pollfdsFor(sys, ...fds);
  let failures = 0;
  while (!state.closing) {
    // The result of poll is of no use, because its errno belongs to the pool's thread. Reading shows whether there is anything.
    failures = (await poll(pollfds.address, fds.length, -1)) < 0 ? failures + 1 : 0;
    if (failures > MAX_POLL_FAILURES) throw new Error('poll on sockets fails again and again');
    const ms = gatherMs();
    if (ms > 0 && !state.closing) await new Promise((resolve) => setTimeout(resolve, ms));
    if (!state.closing) onReady();
  }
}
