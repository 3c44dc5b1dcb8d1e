// Helpers that the bench's parts build their results with: figures, the usual table of figures, ratios with a limit.

import { type Figure, figureOf, keptSamples, type RatioOfFigures, samplesOfFigure, type Table } from './result.ts';
import { ratioOfMedians, summarize } from './stats.ts';

/** Makes a figure from samples. A sample of NaN is a measurement that failed. */
export function figure(about: Omit<Figure, 'samples'>, values: readonly number[]): Figure {
  return { ...about, samples: keptSamples(values) };
}

/** A table with one row for each figure: count, failures, quantiles, maximum. All figures have the same unit. */
export function summaryTable(title: string, figures: readonly Figure[]): Table {
  return {
    title,
    head: [figures[0]?.unit ?? '', 'n', 'failed', 'p50', 'p90', 'p99', 'max'],
    rows: figures.map((each) => {
      const values = samplesOfFigure(each).filter((value) => !Number.isNaN(value));
      const { p50, p90, p99, max, count } = summarize(values);
      return [
        each.name,
        `${each.samples.length}`,
        `${each.samples.length - count}`,
        ...[p50, p90, p99, max].map(shown),
      ];
    }),
  };
}

/** A value with three or four digits; `–` when there is no value. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 100 || value === 0) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** The ratio of two figures measured in the same rounds. Throws when one of them is missing. */
export function ratioOfFigures(
  name: string,
  figures: readonly Figure[],
  { of, against }: { readonly of: string; readonly against: string },
  limit: { readonly most?: number; readonly least?: number } = {},
): RatioOfFigures {
  const [ours, theirs] = [of, against].map((key) => samplesOfFigure(figureOf(figures, key)));
  return { name, of, against, ...ratioOfMedians(ours ?? [], theirs ?? []), ...limit };
}
