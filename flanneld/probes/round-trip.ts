// When a round trip has become slow: compared with what is usual for the same peer, and never by one packet.

/** Slow is at least so many times the usual, and so much more. Less is the noise of a busy machine. */
const TIMES = 4;
const MORE_MS = 20;
/** How many round trips make the usual known, and how many in a row must be slow. */
const LEARN = 5;
const IN_A_ROW = 3;
/** How fast the usual follows. */
const FOLLOW = 0.05;

export class RoundTrip {
  /** What is usual, in milliseconds; undefined while it is not known. */
  usualMs: number | undefined;
  #count = 0;
  #slowInARow = 0;
  #leastSlowMs = Number.POSITIVE_INFINITY;

  /** Takes in a round trip. */
  observe(ms: number): void {
    this.#count++;
    const usual = this.usualMs ?? ms;
    if (this.#count > LEARN && ms >= usual * TIMES && ms >= usual + MORE_MS) {
      this.#slowInARow++;
      this.#leastSlowMs = Math.min(this.#leastSlowMs, ms);
      return;
    }
    this.#slowInARow = 0;
    this.#leastSlowMs = Number.POSITIVE_INFINITY;
    // The fastest ones are the path's, slower ones also the machines'.
    this.usualMs = ms < usual ? ms : usual + (ms - usual) * FOLLOW;
  }

  /** The fastest of the slow ones, in milliseconds; undefined when the round trip is as usual. */
  get slowMs(): number | undefined {
    return this.#slowInARow >= IN_A_ROW ? this.#leastSlowMs : undefined;
  }
}
