// The plots' axes: 1-2-5 ticks on a logarithmic scale, and numbers short enough to fit beside each other.

import type uPlot from 'uplot';
import type { Theme } from './theme.ts';

/** The ticks 1, 2, 5, 10, … inside the range. A range of more than three decades gets only whole decades. */
function logTicks(min: number, max: number): number[] {
  const decades = Math.log10(max / min);
  const steps =
    decades > 3 ? [1] : decades > 1.5 ? [1, 3] : decades > 0.6 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  const ticks: number[] = [];
  for (let exponent = Math.floor(Math.log10(min)); exponent <= Math.ceil(Math.log10(max)); exponent++) {
    for (const step of steps) {
      const tick = step * 10 ** exponent;
      if (tick >= min && tick <= max) ticks.push(tick);
    }
  }
  return ticks;
}

/** A short form of a number: `1500` becomes `1.5k`, without zeros at the end. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return `${Number(value.toPrecision(3))}`;
}

/** The axis below a plot. */
export function across(theme: Theme, label: string, log: boolean): uPlot.Axis {
  return { ...axis(theme, label, log), size: 28 };
}

/** The axis to the left of a plot. */
export function up(theme: Theme, label: string, log: boolean): uPlot.Axis {
  return { ...axis(theme, label, log), size: 46 };
}

function axis(theme: Theme, label: string, log: boolean): uPlot.Axis {
  return {
    stroke: theme.text,
    font: theme.font,
    labelFont: theme.font,
    label,
    labelSize: 18,
    grid: { stroke: theme.grid, width: 1 },
    ticks: { stroke: theme.grid, width: 1, size: 4 },
    values: (_, splits) => splits.map((value) => (value === null ? '' : short(value))),
    ...(log ? { splits: (_plot, _axis, min, max) => logTicks(min, max), filter: (_plot, splits) => splits } : {}),
  };
}

/** The scale. It is logarithmic when `log` asks for it and all values are above zero. */
export function scale(values: readonly number[], log: boolean): { log: boolean; scale: uPlot.Scale } {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (log && low > 0) {
    return { log: true, scale: { time: false, distr: 3, log: 10, range: () => [low / 1.15, high * 1.15] } };
  }
  const margin = (high - low) * 0.04 || 1;
  return { log: false, scale: { time: false, range: () => [low - (low < 0 || log ? margin : low), high + margin] } };
}
