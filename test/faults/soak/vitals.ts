// An agent's memory over the time of a soak, and whether it grows.

/** One look. */
export interface Sample {
  readonly minutes: number;
  readonly residentKib: number;
}

export interface MemoryTrend {
  /** Of all samples. */
  readonly leastMib: number;
  readonly mostMib: number;
  /** Medians of the second and the last quarter of the time; the first is warm-up: code is compiled, buffers are made. */
  readonly earlyMib: number;
  readonly lateMib: number;
  /** Least-squares slope after the warm-up. */
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
