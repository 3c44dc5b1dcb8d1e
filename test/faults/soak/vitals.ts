// An agent's memory over the time of a soak, and whether it grows.

/** One sample. */
export interface Sample {
  readonly minutes: number;
  readonly residentKib: number;
}

export interface MemoryTrend {
  /** Taken over all samples. */
  readonly leastMib: number;
  readonly mostMib: number;
  /**
   * The medians of the second and of the last quarter of the time. The first quarter is left out, because then code is compiled and
   * buffers are made.
   */
  readonly earlyMib: number;
  readonly lateMib: number;
  /** The least-squares slope after the first quarter. */
  readonly kibPerMinute: number;
}

export function memoryTrend(samples: readonly Sample[]): MemoryTrend {
  const mib = samples.map(({ residentKib }) => residentKib / 1024);
  const quarter = Math.ceil(samples.length / 4);
  return {
    leastMib: Math.min(...mib),
    mostMib: Math.max(...mib),
    earlyMib: middle(mib.slice(quarter, 2 * quarter)),
    lateMib: middle(mib.slice(-quarter)),
    kibPerMinute: slope(samples.slice(quarter)),
  };
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function slope(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [x, y] = [mean(({ minutes }) => minutes), mean(({ residentKib }) => residentKib)];
  const spread = samples.reduce((sum, { minutes }) => sum + (minutes - x) ** 2, 0);
  if (spread === 0) return 0;
  return samples.reduce((sum, { minutes, residentKib }) => sum + (minutes - x) * (residentKib - y), 0) / spread;
}
