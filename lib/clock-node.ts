// The clock of the agent's loops. Tests pass in a clock that they set by hand.

export interface Clock {
  /** Milliseconds of a clock that never runs backwards. */
  now(): number;
  /** Calls `run` once after `ms`. The returned function cancels the call. */
  after(ms: number, run: () => void): () => void;
}

/** Milliseconds of a clock that never runs backwards. For `performance.now()` Node would load a module that takes 1 MB. */
export function steadyMs(): number {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1000 + nanos / 1e6;
}

export const systemClock: Clock = {
  now: steadyMs,
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/** Gives timers, sockets and signals a turn between two pieces of long work. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
