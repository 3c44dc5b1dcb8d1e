// Ends a process whose event loop hangs, by deadline.c, which has the details: after 30 s, and after a signal to stop within 4 s. The exit
// code is SIGALRM (14).

import koffi from 'koffi';

/** For how long the loop may hang, in seconds: FIRST_SEC and MORE_SEC of deadline.c. */
export const STILL_SEC = 30;

export interface Deadline {
  /** Call at least every few seconds: it gives the loop another 30 s. */
  beat(): void;
}

/** Sets the first deadline; all times are `factor` times as long. Call it when SIGTERM and SIGINT have listeners. Throws when `library` cannot be loaded. */
export function startDeadline(library: string, factor = 1): Deadline {
  const deadline = koffi.load(library);
  const beat = deadline.func('void deadline_beat()');
  deadline.func('void deadline_start(uint32_t)')(factor);
  return { beat: () => void beat() };
}
