// Decides whether round trips to a peer have become slow. They are compared with what is usual for this peer, and one slow packet
// is never enough.

/**
 * A round trip is slow when it takes at least this many times the usual one, and this much longer. Less is the noise of a busy
 * machine.
 */
const TIMES = 4;
const MORE_MS = 20;
/** After how many round trips the usual one is known, and how many in a row must be slow. */
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
    // The fastest round trips show how long the path takes; slower ones include delays of the two machines.
    this.usualMs = ms < usual ? ms : usual + (ms - usual) * FOLLOW;
  }

  /** The fastest of the slow ones, in milliseconds; undefined when the round trip is as usual. */
  get slowMs(): number | undefined {
    return this.#slowInARow >= IN_A_ROW ? this.#leastSlowMs : undefined;
  }
}
