// Counts while the agent runs. These are plain numbers, because prom-client is loaded only when somebody asks for metrics.

import { steadyMs } from '../../lib/clock-node.ts';

/** Upper bounds of the histogram of run durations, in seconds. */
export const DURATION_BUCKETS: readonly number[] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** Measures the runs of one loop. */
export class RunMeter {
  failures = 0;
  /** For each bucket (the last has no upper bound): the number of runs since `take`, and below it the sum of their seconds. */
  readonly #counts: Float64Array;
  readonly #sums: Float64Array;
  readonly #buckets: readonly number[];

  /** `buckets`: the upper bounds of the histogram, in seconds. */
  constructor(buckets = DURATION_BUCKETS) {
    this.#buckets = buckets;
    this.#counts = new Float64Array(buckets.length + 1);
    this.#sums = new Float64Array(buckets.length + 1);
  }

  /** Times `body` and counts it as failed when it throws. */
  async measure<T>(body: () => Promise<T>): Promise<T> {
    const start = steadyMs();
    try {
      return await body();
    } catch (error) {
      this.failures++;
      throw error;
    } finally {
      this.observe((steadyMs() - start) / 1000);
    }
  }

  observe(seconds: number): void {
    const found = this.#buckets.findIndex((bound) => seconds <= bound);
    const bucket = found < 0 ? this.#buckets.length : found;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sums[bucket] = (this.#sums[bucket] ?? 0) + seconds;
  }

  /**
   * Returns what was observed since the last call, one row for each bucket. Observing `seconds` `count` times gives the same histogram and
   * the same sum.
   */
  take(): { readonly count: number; readonly seconds: number }[] {
    const rows: { count: number; seconds: number }[] = [];
    for (const [bucket, count] of this.#counts.entries()) {
      if (count === 0) continue;
      // Rounding must not raise the mean above the bucket's upper bound.
      const seconds = Math.min((this.#sums[bucket] ?? 0) / count, this.#buckets[bucket] ?? Number.POSITIVE_INFINITY);
      rows.push({ count, seconds });
    }
    this.#counts.fill(0);
    this.#sums.fill(0);
    return rows;
  }
}

/** The meters of the loops, by the loops' label in the metrics. */
export interface Meters {
  readonly overlay: RunMeter;
  readonly firewall: RunMeter;
}

export function createMeters(): Meters {
  return { overlay: new RunMeter(), firewall: new RunMeter() };
}
