// How often one object may be put right again after somebody else changed it: a token bucket a key, so that single
// faults heal at once and a program that fights us is answered once a second, not a thousand times.

/** Repairs in a row before the rate counts. */
const BURST = 5;
/** Afterwards one repair in this time. */
const REFILL_MS = 1000;

/** Keys kept before the first sweep. */
const SWEEP_SIZE = 1024;

interface Bucket {
  tokens: number;
  filledAt: number;
  /** Repairs that had to wait, since the bucket was last full. */
  waited: number;
}

export class RepairBudget {
  readonly #buckets = new Map<string, Bucket>();
  #sweepAt = SWEEP_SIZE;

  /** Takes a repair for `key`; returns 0, or how many milliseconds it has to wait. */
  take(key: string, nowMs: number): number {
    const bucket = this.#filled(key, nowMs);
    if (bucket.tokens >= 1) {
      bucket.tokens--;
      return 0;
    }
    bucket.waited++;
    return Math.ceil((1 - bucket.tokens) * REFILL_MS);
  }

  /** How often in a row a repair of `key` had to wait; 1 is the moment to say so. */
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

  /** Keeps the map as small as the number of keys in trouble; the doubling keeps the sweeps rare. */
  #forgetFull(nowMs: number): void {
    if (this.#buckets.size < this.#sweepAt) return;
    for (const [key, bucket] of this.#buckets) {
      if (nowMs - bucket.filledAt > BURST * REFILL_MS) this.#buckets.delete(key);
    }
    this.#sweepAt = Math.max(SWEEP_SIZE, 2 * this.#buckets.size);
  }
}
