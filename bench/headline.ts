// The few figures that a reader wants first, each as a ratio to everything that it was measured against.

import { withInterval } from './limits.ts';
import { figureOf, samplesOfFigure } from './result.ts';
import type { RunResult } from './run-result.ts';
import { type Ratio, summarize } from './stats.ts';
import { table } from './table.ts';

export interface HeadlineRow {
  readonly part: string;
  readonly name: string;
  /** The median in the figure's unit, by which runs are ordered. */
  readonly value: number;
  /** `3.02 ms`, the median. */
  readonly median: string;
  readonly p99: string;
  readonly count: number;
  /** Whether less of it is better, as of a time. */
  readonly isLessBetter: boolean;
  readonly ratios: readonly (Ratio & { readonly against: string })[];
}

/** The rows in the order of the parts, without figures that were not measured. */
export function headlineRows({ parts }: RunResult): HeadlineRow[] {
  return parts.flatMap(({ name: part, headline, figures, ratios }) =>
    headline.map(({ name, figure: key }) => {
      const figure = figureOf(figures, key);
      const values = samplesOfFigure(figure).filter((value) => !Number.isNaN(value));
      const { p50, p99 } = summarize(values);
      return {
        part,
        name,
        value: p50,
        median: withUnit(p50, figure.unit),
        p99: withUnit(p99, figure.unit),
        count: values.length,
        isLessBetter: figure.better === 'lower',
        ratios: ratios
          .filter(({ of, value }) => of === key && Number.isFinite(value))
          .map(({ against, value, low, high }) => {
            return { against: nameBeside(figureOf(figures, against).name, figure.name), value, low, high };
          }),
      };
    }),
  );
}

/** At most this many figures are in the sentence. */
const TOLD = 3;

/**
 * The result and what it is compared with, in one sentence; empty without a ratio. Ratios are to the first reference, the one that people
 * use.
 */
export function headlineSentence(run: RunResult): string {
  const told = headlineRows(run)
    .filter(({ ratios }) => ratios.length > 0)
    .slice(0, TOLD)
    .map(({ name, median, isLessBetter, ratios: [first] }) => {
      if (first === undefined) return '';
      const { against, ...ratio } = first;
      return `${name}: ${median} at the median, ${ratioText(ratio)} of ${against} (${isLessBetter ? 'less' : 'more'} is better)`;
    });
  return told.length === 0 ? '' : `${told.join('; ')}.`;
}

/** What the terms of the bench mean. */
const TERMS = [
  {
    term: 'T7−T0',
    means:
      'the time from the runtime’s call of the plugin (T0) until the pod’s first packet is delivered in a pod of another node (T7)',
  },
  {
    term: 'C floor',
    means:
      'a program in C that makes the same system calls as Weft’s plugin and does nothing else: no plugin that works this way can take less',
  },
  { term: 'flannel chain', means: 'flannel’s plugin and the two that it executes, bridge and host-local' },
  { term: 'bare netns + veth', means: 'a namespace and a pair of devices made by hand, without a plugin' },
] as const;

/** The terms that occur in a text, each with what it means. */
export function termsIn(text: string): { readonly term: string; readonly means: string }[] {
  return TERMS.filter(({ term }) => text.includes(term));
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

/** The headline as Markdown, for the README. Of runs on several machines it gives the range; the first says which rows there are. */
export function headlineMarkdown(first: RunResult, ...others: readonly RunResult[]): string {
  const all = [first, ...others].flatMap(headlineRows);
  const rows = headlineRows(first).map((row) => {
    const same = all.filter(({ part, name }) => part === row.part && name === row.name);
    const told = row.ratios.map(({ against }) => {
      const ratios = same.flatMap((one) => one.ratios.filter((ratio) => ratio.against === against));
      return `${rangeOfRatios(ratios)} of ${against}`;
    });
    return `| ${row.name} | ${rangeOfMedians(same)} | ${told.join('<br>') || '–'} |`;
  });
  return ['| | Weft, median | ratio of medians (95 % interval) |', '|---|--:|---|', ...rows].join('\n');
}

/** `3.47 ms to 4.58 ms`, or one median where all look the same. */
function rangeOfMedians(rows: readonly HeadlineRow[]): string {
  const ordered = rows.toSorted((a, b) => a.value - b.value);
  return [...new Set([ordered[0]?.median, ordered.at(-1)?.median])].join(' to ');
}

/** `0.25–0.38 (0.24–0.39)`: the least and the greatest ratio, and from the lowest to the highest end of all intervals. */
function rangeOfRatios(ratios: readonly Ratio[]): string {
  const least = Math.min(...ratios.map(({ value }) => value));
  const digits = digitsOf(least);
  // A result that was read from a file has null in place of NaN, and Math.min would treat null as 0.
  const ends = (of: (ratio: Ratio) => number | null): number[] => ratios.map((ratio) => of(ratio) ?? Number.NaN);
  const whole = {
    value: Math.max(...ratios.map(({ value }) => value)),
    low: Math.min(...ends(({ low }) => low)),
    high: Math.max(...ends(({ high }) => high)),
  };
  return `${ratios.length < 2 ? '' : `${least.toFixed(digits)}–`}${withInterval(whole, digits)}`;
}

/** `0.28 (0.27–0.29)`. */
export function ratioText(ratio: Ratio): string {
  return withInterval(ratio, digitsOf(ratio.value));
}

function digitsOf(value: number): number {
  return value < 0.1 ? 3 : 2;
}
