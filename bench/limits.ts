// Limits: what a measured value may be at most, and how that is told.

import type { Ratio } from './stats.ts';

export interface Verdict {
  /** `ADD against the C floor`. */
  readonly what: string;
  /** The value with its interval, as it is shown. */
  readonly shown: string;
  readonly most: string;
  readonly kept: boolean;
}

/** A ratio against the most it may be; one that was not measured is not kept. */
export function judgeRatio(what: string, ratio: Ratio, most: number): Verdict {
  return { what, shown: showRatio(ratio), most: `${most}`, kept: ratio.value <= most };
}

export function judgeValue(what: string, value: number, most: number, unit: string): Verdict {
  return { what, shown: `${value.toFixed(1)} ${unit}`, most: `${most} ${unit}`, kept: value <= most };
}

export function showRatio({ value, low, high }: Ratio): string {
  return `${value.toFixed(3)} (${low.toFixed(3)}–${high.toFixed(3)})`;
}

/** One line a limit. */
export function verdictTable(verdicts: readonly Verdict[]): string {
  const widths = [
    Math.max(...verdicts.map(({ what }) => what.length)),
    Math.max(...verdicts.map(({ shown }) => shown.length)),
  ];
  return verdicts
    .map(({ what, shown, most, kept }) => {
      const columns = [what.padEnd(widths[0] ?? 0), shown.padEnd(widths[1] ?? 0), `≤ ${most}`.padEnd(9)];
      return `${columns.join('  ')}  ${kept ? 'kept' : 'NOT KEPT'}`;
    })
    .join('\n');
}
