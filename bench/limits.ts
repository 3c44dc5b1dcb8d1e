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

/** Shows a value with its interval. A result that was read from a file has null in place of NaN. */
export function withInterval({ value, low, high }: Ratio, digits: number): string {
  const isKnown = Number.isFinite(low) && Number.isFinite(high);
  const interval = isKnown ? `${low.toFixed(digits)}–${high.toFixed(digits)}` : 'too few rounds';
  return `${Number.isFinite(value) ? value.toFixed(digits) : '–'} (${interval})`;
}

/** The verdicts as a table, one line each. */
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
