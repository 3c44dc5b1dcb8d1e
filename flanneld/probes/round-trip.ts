// Decides whether round trips to a peer have become slow. They are compared with the usual one of this peer, and one slow packet is never
// enough.

/**
 * A round trip is slow when it takes at least this many times the usual one, and this much longer. A smaller difference is the noise of a
 * busy machine.
 */
const TIMES = 4;
const MORE_MS = 20;
/** How many round trips it takes to know the usual one, and how many in a row must be slow. */
const LEARN = 5;
const IN_A_ROW = 3;
/** The share of the difference by which the usual round trip follows a slower one. */
const FOLLOW = 0.05;

export class RoundTrip {
  /** The usual round trip in milliseconds; undefined while it is not known. */
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
    // The fastest round trips show the length of the path; slower ones include delays of the two machines.
    this.usualMs = ms < usual ? ms : usual + (ms - usual) * FOLLOW;
  }

  /** The fastest of the slow round trips, in milliseconds; undefined when they are as usual. */
  get slowMs(): number | undefined {
    return this.#slowInARow >= IN_A_ROW ? this.#leastSlowMs : undefined;
  }
}
