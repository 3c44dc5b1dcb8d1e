// The few figures a reader wants first, each as a ratio to everything it was measured against.

import { withInterval } from './limits.ts';
import { figureOf, samplesOfFigure } from './result.ts';
import type { RunResult } from './run-result.ts';
import { quantiles, type Ratio } from './stats.ts';
import { table } from './table.ts';

export interface HeadlineRow {
  readonly part: string;
  readonly name: string;
  /** `3.02 ms`, the median. */
  readonly median: string;
  readonly p99: string;
  readonly count: number;
  readonly ratios: readonly (Ratio & { readonly against: string })[];
}

/** The rows in the order of the parts, without figures that were not measured. */
export function headlineRows({ parts }: RunResult): HeadlineRow[] {
  return parts.flatMap(({ name: part, headline, figures, ratios }) =>
    headline.map(({ name, figure: key }) => {
      const figure = figureOf(figures, key);
      const values = samplesOfFigure(figure).filter((value) => !Number.isNaN(value));
      const [p50 = Number.NaN, p99 = Number.NaN] = quantiles(values, [0.5, 0.99]);
      return {
        part,
        name,
        median: withUnit(p50, figure.unit),
        p99: withUnit(p99, figure.unit),
        count: values.length,
        ratios: ratios
          .filter(({ of }) => of === key)
          .map(({ against, value, low, high }) => {
            return { against: nameBeside(figureOf(figures, against).name, figure.name), value, low, high };
          }),
      };
    }),
  );
}

/** A value with its unit. A thousand microseconds or more are shown as milliseconds. */
export function withUnit(value: number, unit: string): string {
  if (!Number.isFinite(value)) return '–';
  if (unit === 'µs' && Math.abs(value) >= 1000) return withUnit(value / 1000, 'ms');
  const digits = value.toPrecision(3);
  return `${digits.includes('e') ? value.toFixed(0) : digits} ${unit}`;
}

/** A reference's short name in a row about our figure: beside `ADD, weft`, `ADD, flannel chain` is `flannel chain`. */
function nameBeside(reference: string, ours: string): string {
  const words = (name: string): string[] => name.split(/, |: /);
  const own = words(ours);
  return (
    words(reference)
      .filter((word) => !own.includes(word))
      .join(', ') || reference
  );
}

/** The headline as a table for the terminal, with a line for each ratio. */
export function headlineTable(run: RunResult): string {
  const headlines = headlineRows(run);
  const widest = Math.max(0, ...headlines.flatMap(({ ratios }) => ratios.map(({ against }) => against.length)));
  const rows = headlines.flatMap(({ name, median, p99, count, ratios }) => {
    const [first, ...others] = ratios.map(({ against, ...ratio }) => [
      ratioText(ratio),
      `of ${against.padEnd(widest)}`,
    ]);
    return [
      [name, median, p99, `${count}`, ...(first ?? ['–', ''])],
      ...others.map((told) => ['', '', '', '', ...told]),
    ];
  });
  return table(['headline figures', 'median', 'p99', 'n', 'ratio of medians (95 %)', ''], rows);
}

/** The headline as Markdown, for the README. */
export function headlineMarkdown(run: RunResult): string {
  const rows = headlineRows(run).map(({ name, median, ratios }) => {
    const told = ratios.map(({ against, ...ratio }) => `${ratioText(ratio)} of ${against}`);
    return `| ${name} | ${median} | ${told.join('<br>') || '–'} |`;
  });
  return ['| | Weft, median | ratio of medians (95 % interval) |', '|---|--:|---|', ...rows].join('\n');
}

/** `0.28 (0.27–0.29)`. */
export function ratioText(ratio: Ratio): string {
  return withInterval(ratio, ratio.value < 0.1 ? 3 : 2);
}
