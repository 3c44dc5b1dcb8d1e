// What a part of the bench answers: one form for all of them, which the terminal, the JSON file, the report,
// `bench compare` and `bench table` are made from. Plain data: it goes through JSON as it is.

import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';

/** A part of the suite, under the name it is asked for by. */
export interface Part {
  readonly name: string;
  /** What it answers, as one question. */
  readonly question: string;
  /** How long it takes, roughly, for "what is left". Without `quick` it is in a quick run only when asked for by name. */
  readonly seconds: { readonly full: number; readonly quick?: number };
  /**
   * Measures and says nothing but its progress. A call that failed is a `failure` in the result; rejects only when
   * nothing can be measured at all (no root, no build, the lab did not come up), and the suite goes on without it.
   */
  measure(options: BenchOptions, progress: Progress): Promise<PartResult>;
}

export interface PartResult {
  /** Every sample, also those of the references. */
  readonly figures: readonly Figure[];
  readonly tables: readonly Table[];
  readonly ratios: readonly RatioOfFigures[];
  /** Single values that have a limit. */
  readonly limits: readonly ValueLimit[];
  /** What makes figures worthless: calls that failed, packets not answered. The bench exits 1. */
  readonly failures: readonly string[];
  /** What a reader of the figures must know: a reference that was not found, "DISTURBED: …". */
  readonly notes: readonly string[];
  readonly plots: readonly Plot[];
  /** The rows of the README's table: T7−T0, ADD, DEL, 50 pods, 5000 peers, throughput, memory. */
  readonly headline: readonly Headline[];
  /** What was measured with, by name: versions of the references, the lab's devices with MTU and offloads. */
  readonly about?: Readonly<Record<string, unknown>> | undefined;
}

/** One thing measured many times. */
export interface Figure {
  /** Unique in its part and the same in every run, since `bench compare` goes by it: `latency/ADD/weft`. */
  readonly key: string;
  /** For people, with no unit: `ADD, weft`. */
  readonly name: string;
  /** `µs`, `ms`, `MB`, `Gbit/s`, `packets`, `messages`, `ms/s`. */
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  /**
   * `weft`: ours, `bench compare` judges it. `reference`: what ours is compared with; when it moves, the machine did.
   * `detail`: kept and drawn, not judged (the single calls of a burst, a control).
   */
  readonly role: 'weft' | 'reference' | 'detail';
  /** In the order of the rounds, null where it failed: the n-th of one figure was measured beside the n-th of another. */
  readonly samples: readonly (number | null)[];
}

/** Rows of text; every row has as many cells as the head. The first column is a name, the others are numbers. */
export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** It says what no plot does: the report shows it without being asked. */
  readonly answers?: boolean;
}

/** The median of one figure by the median of another, with the interval 95 of 100 resamples lie in. */
export interface RatioOfFigures {
  /** `ADD against flannel chain`. */
  readonly name: string;
  /** Keys of figures of the same part. */
  readonly of: string;
  readonly against: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** The limit, if it has one; a ratio of something of which more is better has a `least`. */
  readonly most?: number | undefined;
  readonly least?: number | undefined;
}

export interface ValueLimit {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly most: number;
}

/** Plots name the figures they draw, by key, and hold no samples of their own. */
export type Plot = DistributionPlot | StackedPlot | LinesPlot;

/** Which share of the samples is below a value: one step curve a figure, log x. All of one unit. */
export interface DistributionPlot {
  readonly kind: 'distribution';
  readonly title: string;
  readonly figures: readonly string[];
}

/** One bar for each round, its segments on top of each other: the n-th samples of these figures, the first at the bottom. */
export interface StackedPlot {
  readonly kind: 'stacked';
  readonly title: string;
  /** What a bar is: `pod`. */
  readonly bar: string;
  readonly segments: readonly { readonly name: string; readonly figure: string }[];
}

/** Medians over an axis, with the 10 % and 90 % quantiles as a band. */
export interface LinesPlot {
  readonly kind: 'lines';
  readonly title: string;
  readonly x: { readonly label: string; readonly log: boolean };
  readonly y: { readonly label: string; readonly log: boolean };
  readonly series: readonly {
    readonly name: string;
    readonly points: readonly { readonly x: number; readonly figure: string }[];
  }[];
}

export interface Headline {
  /** `ADD, one pod`. */
  readonly name: string;
  /** Key of our figure; it is shown with its median and with every ratio that is `of` it. */
  readonly figure: string;
}

const KEPT_DIGITS = 5;

/** Samples as they are kept: NaN (failed) becomes null, and five digits are enough for any of them. */
export function keptSamples(values: readonly number[]): (number | null)[] {
  return values.map((value) => (Number.isFinite(value) ? Number(value.toPrecision(KEPT_DIGITS)) : null));
}

/** The samples for statistics, which want NaN where one failed. */
export function samplesOfFigure({ samples }: Figure): number[] {
  return samples.map((value) => value ?? Number.NaN);
}

/** The figure of a key; throws when there is none, which is a mistake in the part. */
export function figureOf(figures: readonly Figure[], key: string): Figure {
  const found = figures.find((figure) => figure.key === key);
  if (found === undefined) throw new Error(`no figure ${key}`);
  return found;
}

/** The results of a part's own parts as one, in their order. */
export function joinResults(results: readonly PartResult[]): PartResult {
  return {
    figures: results.flatMap(({ figures }) => figures),
    tables: results.flatMap(({ tables }) => tables),
    ratios: results.flatMap(({ ratios }) => ratios),
    limits: results.flatMap(({ limits }) => limits),
    failures: results.flatMap(({ failures }) => failures),
    notes: results.flatMap(({ notes }) => notes),
    plots: results.flatMap(({ plots }) => plots),
    headline: results.flatMap(({ headline }) => headline),
  };
}
