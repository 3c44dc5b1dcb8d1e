// Statistics of measured values: quantiles, and how certain a ratio of two medians is.

/** For each share (0–1) the value below which that share of `values` lies; NaN for an empty list. */
export function quantiles(values: readonly number[], shares: readonly number[]): number[] {
  // A Float64Array sorts by value, many times faster than an array with a compare function. An interval sorts a thousand times.
  const sorted = Float64Array.from(values).sort();
  return shares.map((share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN);
}

/** The middle value; NaN for an empty list. */
export function median(values: readonly number[]): number {
  return quantiles(values, [0.5])[0] ?? Number.NaN;
}

/** With fewer values, the value below which 99 of 100 lie would simply be the largest one. */
const FEWEST_FOR_P99 = 100;

export interface Summary {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  /** NaN with fewer than a hundred values. */
  readonly p99: number;
  readonly max: number;
}

export function summarize(values: readonly number[]): Summary {
  const [p50 = Number.NaN, p90 = Number.NaN, p99 = Number.NaN, max = Number.NaN] = quantiles(
    values,
    [0.5, 0.9, 0.99, 1],
  );
  return { count: values.length, p50, p90, p99: values.length < FEWEST_FOR_P99 ? Number.NaN : p99, max };
}

/** A value, such as the ratio of two medians, and how certain it is. */
export interface Ratio {
  readonly value: number;
  /** The interval in which 95 of 100 resamples lie; NaN when there are too few rounds to tell. */
  readonly low: number;
  readonly high: number;
}

const RESAMPLES = 1000;
/** With fewer rounds, resampling says nothing: two rounds always give the same two values. */
export const FEWEST_ROUNDS = 5;
const SEED = 20_250_601;

/**
 * The ratio of the medians of two lists that were measured in the same rounds, with a bootstrap interval. Whole rounds are
 * resampled, because whatever disturbs a round disturbs both lists. A round in which either failed (NaN) is left out. Equal
 * input gives equal output.
 */
export function ratioOfMedians(a: readonly number[], b: readonly number[]): Ratio {
  const rounds: { a: number; b: number }[] = [];
  a.forEach((value, index) => {
    const other = b[index] ?? Number.NaN;
    if (!Number.isNaN(value) && !Number.isNaN(other)) rounds.push({ a: value, b: other });
  });
  // One round is one value of each, and its ratio would look like a result.
  if (rounds.length < 2) return { value: Number.NaN, low: Number.NaN, high: Number.NaN };
  const ratio = (of: readonly { a: number; b: number }[]): number =>
    median(of.map((round) => round.a)) / median(of.map((round) => round.b));
  if (rounds.length < FEWEST_ROUNDS) return { value: ratio(rounds), low: Number.NaN, high: Number.NaN };
  const random = randomNumbers(SEED);
  const resampled = Array.from({ length: RESAMPLES }, () =>
    ratio(rounds.map((round) => rounds[Math.floor(random() * rounds.length)] ?? round)),
  );
  const [low = Number.NaN, high = Number.NaN] = quantiles(resampled, [0.025, 0.975]);
  return { value: ratio(rounds), low, high };
}

/**
 * The ratio of the medians of two independent lists, with a bootstrap interval: each list is resampled on its own. NaN
 * values are left out. Equal input gives equal output.
 */
export function ratioOfSeparateMedians(a: readonly number[], b: readonly number[]): Ratio {
  const [first, second] = [a, b].map((values) => values.filter((value) => !Number.isNaN(value)));
  if (first === undefined || second === undefined || first.length < 2 || second.length < 2) {
    return { value: Number.NaN, low: Number.NaN, high: Number.NaN };
  }
  const random = randomNumbers(SEED);
  const resampled = (values: readonly number[]): number =>
    median(values.map(() => values[Math.floor(random() * values.length)] ?? Number.NaN));
  const ratios = Array.from({ length: RESAMPLES }, () => resampled(first) / resampled(second));
  const [low = Number.NaN, high = Number.NaN] = quantiles(ratios, [0.025, 0.975]);
  return { value: median(first) / median(second), low, high };
}

/** The median of a list, with the interval in which those of 95 of 100 resamples lie. NaN values are left out. */
export function medianWithInterval(values: readonly number[]): Ratio {
  const known = values.filter((value) => !Number.isNaN(value));
  const value = median(known);
  if (known.length < FEWEST_ROUNDS) return { value, low: Number.NaN, high: Number.NaN };
  const random = randomNumbers(SEED);
  const resampled = Array.from({ length: RESAMPLES }, () =>
    median(known.map(() => known[Math.floor(random() * known.length)] ?? Number.NaN)),
  );
  const [low = Number.NaN, high = Number.NaN] = quantiles(resampled, [0.025, 0.975]);
  return { value, low, high };
}

/** NaN for an empty list. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Random numbers in [0, 1) by mulberry32: the same seed gives the same numbers. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}
