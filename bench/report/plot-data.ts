// Computes the data that the page's program draws from a part's plots.

import { type Figure, figureOf, type LinesPlot, type Plot, type StackedPlot, samplesOfFigure } from '../result.ts';
import { median, quantiles } from '../stats.ts';
import type { Curve, DistributionData, LinesData, PlotData, StackedData } from './data.ts';

/** The plot's data; undefined when nothing in it was measured. Throws when it names a figure that the part does not have. */
export function plotData(plot: Plot, figures: readonly Figure[]): PlotData | undefined {
  if (plot.kind === 'distribution') return distribution(plot.figures.map((key) => figureOf(figures, key)));
  return plot.kind === 'stacked' ? stacked(plot, figures) : lines(plot, figures);
}

function distribution(figures: readonly Figure[]): DistributionData | undefined {
  const names = shortNames(figures.map(({ name }) => name));
  const { unit, by } = readableUnit(figures);
  const curves = figures.map((each, at) => curveOf(each, by, names[at])).filter(({ values }) => values.length > 0);
  return curves.length === 0 ? undefined : { kind: 'distribution', unit, curves };
}

/** From this many microseconds on, values are easier to read in milliseconds. */
const MANY_US = 1000;

/** The unit to show the figures in, and the factor that converts their values to it. */
function readableUnit(figures: readonly Figure[]): { unit: string; by: number } {
  const unit = figures[0]?.unit ?? '';
  const medians = figures.map((each) => median(measured(each))).filter((value) => !Number.isNaN(value));
  const large = unit === 'µs' && medians.length > 0 && medians.every((value) => value >= MANY_US);
  return large ? { unit: 'ms', by: 1000 } : { unit, by: 1 };
}

/** The names without the words that all begin or end with, which the title has: `ADD, weft`, `ADD, C floor` → `weft`, `C floor`. */
export function shortNames(names: readonly string[]): string[] {
  const parts = names.map((name) => name.split(', '));
  const shortest = Math.min(...parts.map(({ length }) => length));
  const same = (at: (of: readonly string[]) => string | undefined): boolean => new Set(parts.map(at)).size === 1;
  if (names.length < 2) return [...names];
  let front = 0;
  while (front < shortest - 1 && same((of) => of[front])) front += 1;
  let back = 0;
  while (front + back < shortest - 1 && same((of) => of[of.length - 1 - back])) back += 1;
  return parts.map((of) => of.slice(front, of.length - back).join(', '));
}

/** A curve has at most this many steps, because no screen could show more. */
const MOST_STEPS = 300;

function curveOf(figure: Figure, by: number, name = figure.name): Curve {
  const values = measured(figure)
    .map((value) => value / by)
    .sort((a, b) => a - b);
  const steps = Math.min(values.length, MOST_STEPS);
  const ranks = Array.from({ length: steps }, (_, step) => Math.ceil(((step + 1) / steps) * values.length));
  return {
    name,
    values: ranks.map((rank) => values[rank - 1] ?? Number.NaN),
    shares: ranks.map((rank) => Number(((100 * rank) / values.length).toFixed(2))),
  };
}

/** The axis ends at this many times the median bar, so that one tall bar does not flatten the others. */
const TALLEST = 4;

function stacked({ bar, segments }: StackedPlot, figures: readonly Figure[]): StackedData | undefined {
  const found = segments.map(({ name, figure }) => ({ name, of: figureOf(figures, figure) }));
  const count = Math.max(0, ...found.map(({ of }) => of.samples.length));
  const totals = Array.from({ length: count }, (_, round) =>
    found.reduce((sum, { of }) => sum + Math.max(0, of.samples[round] ?? Number.NaN), 0),
  ).filter((total) => !Number.isNaN(total));
  if (totals.length === 0) return undefined;
  const [p50 = 0, most = 0] = quantiles(totals, [0.5, 1]);
  const own = found[0]?.of.unit ?? '';
  const [unit, by] = own === 'µs' && p50 >= MANY_US ? ['ms', 1000] : [own, 1];
  const scaled = (value: number | null): number | null => (value === null ? null : value / by);
  return {
    kind: 'stacked',
    unit,
    bar,
    segments: found.map(({ name, of }) => ({ name, values: of.samples.map(scaled) })),
    top: Math.min(most, p50 * TALLEST) / by,
  };
}

function lines({ x, y, series }: LinesPlot, figures: readonly Figure[]): LinesData | undefined {
  const own = series.flatMap(({ points }) => points.map(({ figure }) => figureOf(figures, figure)));
  const { unit, by } = readableUnit(own);
  const found = series.map(({ name, points }) => {
    const of = points.map((point) => ({ x: point.x, figure: figureOf(figures, point.figure) }));
    return {
      name,
      points: of.map((point) => ({ x: point.x, ...bandOf(point.figure, by) })).filter(({ p50 }) => !Number.isNaN(p50)),
    };
  });
  const drawn = found.filter(({ points }) => points.length > 0);
  if (drawn.length === 0) return undefined;
  return { kind: 'lines', unit, x, y: y.label === own[0]?.unit ? { ...y, label: unit } : y, lines: drawn };
}

function bandOf(figure: Figure, by: number): { p10: number; p50: number; p90: number } {
  const [p10 = Number.NaN, p50 = Number.NaN, p90 = Number.NaN] = quantiles(measured(figure), [0.1, 0.5, 0.9]);
  return { p10: p10 / by, p50: p50 / by, p90: p90 / by };
}

function measured(figure: Figure): number[] {
  return samplesOfFigure(figure).filter((value) => !Number.isNaN(value));
}
