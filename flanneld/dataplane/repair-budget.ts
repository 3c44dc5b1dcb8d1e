// Limits how often the objects of one key are repaired after somebody else changed them, by a token bucket for each key. A single
// fault is repaired at once; a program that keeps changing them back is answered once a second, not a thousand times.

/** How many repairs in a row are free. */
const BURST = 5;
/** After that, one repair is allowed in this time. */
const REFILL_MS = 1000;

/** How many keys are kept before the first sweep. */
const SWEEP_SIZE = 1024;

interface Bucket {
  tokens: number;
  filledAt: number;
  /** How many repairs had to wait since the bucket was last full. */
  waited: number;
}

export class RepairBudget {
  readonly #buckets = new Map<string, Bucket>();
  #sweepAt = SWEEP_SIZE;

  /** Asks for a repair of `key`; returns 0 if it is allowed now, else how many milliseconds it has to wait. */
  take(key: string, nowMs: number): number {
    const bucket = this.#filled(key, nowMs);
    if (bucket.tokens >= 1) {
      bucket.tokens--;
      return 0;
    }
    bucket.waited++;
    return Math.ceil((1 - bucket.tokens) * REFILL_MS);
  }

  /** How often in a row a repair of `key` had to wait; at 1 it is time to log it. */
  waited(key: string): number {
    return this.#buckets.get(key)?.waited ?? 0;
  }

  #filled(key: string, nowMs: number): Bucket {
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = { tokens: BURST, filledAt: nowMs, waited: 0 };
      this.#buckets.set(key, bucket);
      this.#forgetFull(nowMs);
      return bucket;
    }
    bucket.tokens = Math.min(BURST, bucket.tokens + (nowMs - bucket.filledAt) / REFILL_MS);
    bucket.filledAt = nowMs;
    if (bucket.tokens === BURST) bucket.waited = 0;
    return bucket;
  }

  /** Removes full buckets, so that the map has only keys that are repaired often. Doubling the limit keeps sweeps rare. */
  #forgetFull(nowMs: number): void {
    if (this.#buckets.size < this.#sweepAt) return;
    for (const [key, bucket] of this.#buckets) {
      if (nowMs - bucket.filledAt > BURST * REFILL_MS) this.#buckets.delete(key);
    }
    this.#sweepAt = Math.max(SWEEP_SIZE, 2 * this.#buckets.size);
  }
}
