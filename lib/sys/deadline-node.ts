// The end of a process whose event loop stands still, by deadline.c, which says how: after 30 s, and after a signal to stop
// within 4 s. The exit code is SIGALRM (14).

import koffi from 'koffi';

/** How long the loop may stand still, in seconds: FIRST_SEC and MORE_SEC of deadline.c. */
export const STILL_SEC = 30;

export interface Deadline {
  /** The loop runs: it may now stand still for 30 s. Call at least every few seconds. */
  beat(): void;
}

/** Sets the first deadline; all times are `factor` times as long. Call it when SIGTERM and SIGINT have listeners. Throws when `library` cannot be loaded. */
export function startDeadline(library: string, factor = 1): Deadline {
  const deadline = koffi.load(library);
  const beat = deadline.func('void deadline_beat()');
  deadline.func('void deadline_start(uint32_t)')(factor);
  return { beat: () => void beat() };
}
