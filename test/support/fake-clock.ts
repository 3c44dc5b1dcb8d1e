// A clock for code that waits. Time passes only when the test says so.

import type { Clock } from '../../lib/clock-node.ts';

/** A clock that a test moves on. */
export class FakeClock implements Clock {
  ms = 0;
  #timers: { at: number; run: () => void }[] = [];

  now(): number {
    return this.ms;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.ms + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  async advance(ms: number): Promise<void> {
    const until = this.ms + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.ms = Math.max(this.ms, next.at);
      this.#timers = this.#timers.filter((timer) => timer !== next);
      next.run();
      await settle();
    }
    this.ms = until;
  }

  get pending(): number {
    return this.#timers.length;
  }
}

/** Lets every promise settle that can settle now. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
