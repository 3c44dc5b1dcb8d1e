// Limits: the most (or the least) a measured value may be, and how a verdict is shown.

import type { RatioOfFigures } from './result.ts';
import type { Ratio } from './stats.ts';

export interface Verdict {
  /** What is judged, such as `ADD against the C floor`. */
  readonly what: string;
  /** The value with its interval, as it is shown. */
  readonly shown: string;
  /** The limit, such as `≤ 0.28`; empty where there is none. */
  readonly limit: string;
  /** Whether the limit was kept. True where there is no limit, false where nothing was measured. */
  readonly kept: boolean;
  /** Whether there were too few rounds for an interval, so that another run may judge otherwise. */
  readonly isUncertain: boolean;
}

export function judgeRatioOf({ name, most, least, ...ratio }: RatioOfFigures): Verdict {
  const limits = [...(most === undefined ? [] : [`≤ ${most}`]), ...(least === undefined ? [] : [`≥ ${least}`])];
  const kept = (most === undefined || ratio.value <= most) && (least === undefined || ratio.value >= least);
  return { what: name, shown: showRatio(ratio), limit: limits.join(' '), kept, isUncertain: !hasInterval(ratio) };
}

export function judgeValue(what: string, value: number, most: number, unit: string): Verdict {
  const limit = `≤ ${most} ${unit}`;
  return { what, shown: `${value.toFixed(1)} ${unit}`, limit, kept: value <= most, isUncertain: false };
}

export function showRatio(ratio: Ratio): string {
  return withInterval(ratio, 3);
}

/** Shows a value with its interval. A result that was read from a file has null in place of NaN. */
export function withInterval(ratio: Ratio, digits: number): string {
  const { value, low, high } = ratio;
  const interval = hasInterval(ratio) ? `${low.toFixed(digits)}–${high.toFixed(digits)}` : 'too few rounds';
  return `${Number.isFinite(value) ? value.toFixed(digits) : '–'} (${interval})`;
}

function hasInterval({ low, high }: Ratio): boolean {
  return Number.isFinite(low) && Number.isFinite(high);
}

/** The verdicts as a table, one line each. A quick run judges nothing of which it has too few rounds. */
export function verdictTable(verdicts: readonly Verdict[], quick = false): string {
  const width = (of: (verdict: Verdict) => string): number => Math.max(...verdicts.map((each) => of(each).length));
  const widths = [width(({ what }) => what), width(({ shown }) => shown), width(({ limit }) => limit)] as const;
  return verdicts
    .map((each) => {
      const columns = [each.what.padEnd(widths[0]), each.shown.padEnd(widths[1]), each.limit.padEnd(widths[2])];
      return `${columns.join('  ')}  ${verdictText(each, quick)}`.trimEnd();
    })
    .join('\n');
}

function verdictText({ limit, kept, isUncertain }: Verdict, quick: boolean): string {
  if (limit === '') return '';
  if (quick && isUncertain) return 'too few rounds to say';
  return kept ? 'kept' : 'NOT KEPT';
}
