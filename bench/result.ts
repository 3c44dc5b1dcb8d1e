// The result of one part of the bench. All parts have this one form, and the terminal, the JSON file, the report,
// `bench compare` and `bench table` are made from it. It is plain data that JSON can hold.

import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';

/** A part of the bench, with the name by which it is chosen. */
export interface Part {
  readonly name: string;
  /** The question the part answers. */
  readonly question: string;
  /** Roughly how long it takes, to say how much is left. Without `quick`, a quick run has this part only when it is named. */
  readonly seconds: { readonly full: number; readonly quick?: number };
  /**
   * Measures, and prints nothing but its progress. A call that failed becomes a `failure` in the result. Rejects only when
   * nothing can be measured at all (no root, no build, the lab did not come up); the bench then goes on with the other parts.
   */
  measure(options: BenchOptions, progress: Progress): Promise<PartResult>;
}

export interface PartResult {
  /** All figures with every sample, those of the references included. */
  readonly figures: readonly Figure[];
  readonly tables: readonly Table[];
  readonly ratios: readonly RatioOfFigures[];
  /** Single values that have a limit. */
  readonly limits: readonly ValueLimit[];
  /** Problems that make figures worthless, such as failed calls and unanswered packets. With any of them the bench exits with 1. */
  readonly failures: readonly string[];
  /** What a reader of the figures must know, such as a reference that was not found, or "DISTURBED: …". */
  readonly notes: readonly string[];
  readonly plots: readonly Plot[];
  /** The rows of the README's table: T7−T0, ADD, DEL, 50 pods, 5000 peers, throughput, memory. */
  readonly headline: readonly Headline[];
  /** The programs and devices that were used, by name: versions of the references, the lab's devices with MTU and offloads. */
  readonly about?: Readonly<Record<string, unknown>> | undefined;
}

/** One thing measured many times. */
export interface Figure {
  /** Unique in its part and equal in every run, since `bench compare` matches figures by it: `latency/ADD/weft`. */
  readonly key: string;
  /** The name for people, without a unit: `ADD, weft`. */
  readonly name: string;
  /** `µs`, `ms`, `MB`, `Gbit/s`, `packets`, `messages`, `ms/s`. */
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  /**
   * `weft`: a figure of our own, which `bench compare` judges. `reference`: what ours is compared with; when it changes, the machine has
   * changed. `detail`: kept and drawn but not judged (the single calls of a burst, a control).
   */
  readonly role: 'weft' | 'reference' | 'detail';
  /** One sample for each round, in order, null where it failed. The n-th samples of all figures come from the same round. */
  readonly samples: readonly (number | null)[];
}

/** A table of text. Every row has as many cells as the head. The first column holds names, the others numbers. */
export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** The table says something that no plot shows, so the report shows it unfolded. */
  readonly answers?: boolean;
}

/** The median of one figure divided by that of another, with the interval in which 95 of 100 resamples lie. */
export interface RatioOfFigures {
  /** The name, such as `ADD against flannel chain`. */
  readonly name: string;
  /** Keys of two figures of the same part: `of` is divided by `against`. */
  readonly of: string;
  readonly against: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** The limit, if there is one: `most`, or `least` where more is better. */
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

/** Shows which share of the samples is below a value: one step curve for each figure, on a logarithmic x axis. One unit. */
export interface DistributionPlot {
  readonly kind: 'distribution';
  readonly title: string;
  readonly figures: readonly string[];
}

/** One bar for each round. Its segments, from the bottom up, are the samples of these figures in that round. */
export interface StackedPlot {
  readonly kind: 'stacked';
  readonly title: string;
  /** What a bar stands for, such as `pod`. */
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
  /** The name, such as `ADD, one pod`. */
  readonly name: string;
  /** The key of our figure, which is shown with its median and with every ratio whose `of` it is. */
  readonly figure: string;
}

const KEPT_DIGITS = 5;

/** Samples in the form in which they are kept: NaN (failed) becomes null, and values are rounded to five digits. */
export function keptSamples(values: readonly number[]): (number | null)[] {
  return values.map((value) => (Number.isFinite(value) ? Number(value.toPrecision(KEPT_DIGITS)) : null));
}

/** The samples in the form that the statistics need, with NaN where one failed. */
export function samplesOfFigure({ samples }: Figure): number[] {
  return samples.map((value) => value ?? Number.NaN);
}

/** The figure with this key. Throws when there is none, which is a mistake in the part. */
export function figureOf(figures: readonly Figure[], key: string): Figure {
  const found = figures.find((figure) => figure.key === key);
  if (found === undefined) throw new Error(`no figure ${key}`);
  return found;
}

/** Joins the results of a part's sub-parts into one, in their order. */
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
