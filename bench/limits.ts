// Limits: what a measured value may be at most (or at least), and how that is told.

import type { RatioOfFigures } from './result.ts';
import type { Ratio } from './stats.ts';

export interface Verdict {
  /** `ADD against the C floor`. */
  readonly what: string;
  /** The value with its interval, as it is shown. */
  readonly shown: string;
  /** `≤ 0.28`; empty where there is no limit. */
  readonly limit: string;
  /** True where there is none. What was not measured is not kept. */
  readonly kept: boolean;
}

export function judgeRatioOf({ name, most, least, ...ratio }: RatioOfFigures): Verdict {
  const limits = [...(most === undefined ? [] : [`≤ ${most}`]), ...(least === undefined ? [] : [`≥ ${least}`])];
  const kept = (most === undefined || ratio.value <= most) && (least === undefined || ratio.value >= least);
  return { what: name, shown: showRatio(ratio), limit: limits.join(' '), kept };
}

export function judgeValue(what: string, value: number, most: number, unit: string): Verdict {
  return { what, shown: `${value.toFixed(1)} ${unit}`, limit: `≤ ${most} ${unit}`, kept: value <= most };
}

export function showRatio(ratio: Ratio): string {
  return withInterval(ratio, 3);
}

/** A result read from its file has null for NaN. */
export function withInterval({ value, low, high }: Ratio, digits: number): string {
  const isKnown = Number.isFinite(low) && Number.isFinite(high);
  const interval = isKnown ? `${low.toFixed(digits)}–${high.toFixed(digits)}` : 'too few rounds';
  return `${Number.isFinite(value) ? value.toFixed(digits) : '–'} (${interval})`;
}

/** One line a verdict. */
export function verdictTable(verdicts: readonly Verdict[]): string {
  const width = (of: (verdict: Verdict) => string): number => Math.max(...verdicts.map((each) => of(each).length));
  const widths = [width(({ what }) => what), width(({ shown }) => shown), width(({ limit }) => limit)] as const;
  return verdicts
    .map(({ what, shown, limit, kept }) => {
      const columns = [what.padEnd(widths[0]), shown.padEnd(widths[1]), limit.padEnd(widths[2])];
      const verdict = limit === '' ? '' : kept ? 'kept' : 'NOT KEPT';
      return `${columns.join('  ')}  ${verdict}`.trimEnd();
    })
    .join('\n');
}
