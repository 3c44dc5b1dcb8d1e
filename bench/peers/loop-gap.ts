// A watcher that is loaded into the agent by NODE_OPTIONS=--require. On SIGUSR2 it begins to measure how late a 2 ms timer fires; on
// the next SIGUSR2 it writes what it saw and stops. It is plain JavaScript without imports, since its text is written to a file.
// See linux/Documentation/scheduler/sched-stats.rst (schedstat).

/** What the watcher measured between two SIGUSR2, in milliseconds. */
export interface LoopGap {
  readonly longest: number;
  /** The longest delay, without the time in which the thread was ready but other threads had the processor. */
  readonly longestOwn: number;
  readonly ticks: number;
}

/** The text of the watcher, which writes a LoopGap to `file`. */
export function loopGapProgram(file: string): string {
  return `'use strict';
const { readFileSync, writeFileSync, renameSync } = require('node:fs');
const waited = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[1]) / 1e6;
let timer;
let seen;
process.on('SIGUSR2', () => {
  if (timer === undefined) {
    seen = { longest: 0, longestOwn: 0, ticks: 0 };
    let last = performance.now();
    let lastWaited = waited();
    timer = setInterval(() => {
      const now = performance.now();
      const nowWaited = waited();
      const gap = now - last;
      seen.longest = Math.max(seen.longest, gap);
      seen.longestOwn = Math.max(seen.longestOwn, gap - (nowWaited - lastWaited));
      seen.ticks++;
      last = now;
      lastWaited = nowWaited;
    }, 2);
    timer.unref();
  } else {
    clearInterval(timer);
    timer = undefined;
    writeFileSync(${JSON.stringify(`${file}.new`)}, JSON.stringify(seen));
    renameSync(${JSON.stringify(`${file}.new`)}, ${JSON.stringify(file)});
  }
});
`;
}
