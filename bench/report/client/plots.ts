// Makes a uPlot chart for each kind of plot.

import uPlot from 'uplot';
import type { DistributionData, LinesData, PlotData, StackedData } from '../data.ts';
import { across, scale, short, up } from './axes.ts';
import { readTheme, strokeOf, type Theme } from './theme.ts';

type Options = Omit<uPlot.Options, 'width' | 'height'>;
type Drawing = { readonly options: Options; readonly data: uPlot.AlignedData };

export function drawingOf(data: PlotData): Drawing {
  const theme = readTheme();
  if (data.kind === 'distribution') return distribution(data, theme);
  return data.kind === 'stacked' ? stacked(data, theme) : lines(data, theme);
}

const BEFORE = 1 - 1e-6;

function distribution({ unit, curves }: DistributionData, theme: Theme): Drawing {
  const x = scale(
    curves.flatMap(({ values }) => values),
    true,
  );
  // The first step begins at 0, just left of the first value.
  const tables = curves.map(({ values, shares }): [number[], number[]] => [
    [...values.slice(0, 1).map((first) => first * BEFORE), ...values],
    [0, ...shares],
  ]);
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  return {
    data: uPlot.join(tables.map(([values, shares]) => distinct(values, shares))),
    options: {
      scales: { x: x.scale, y: { range: () => [0, 100] } },
      axes: [across(theme, unit, x.log), up(theme, '% of samples at or below', false)],
      series: [
        { label: unit, value: (_, value) => (value === null ? '–' : short(value)) },
        ...curves.map(
          ({ name }, at): uPlot.Series => ({
            ...strokeOf(theme, at),
            label: name,
            spanGaps: true,
            points: { show: false },
            value: (_, value) => (value === null ? '' : `${short(value)} %`),
            ...(stepped === undefined ? {} : { paths: stepped }),
          }),
        ),
      ],
    },
  };
}

/** Keeps only the last share of equal values, because uPlot's data has every x once. */
function distinct(values: readonly number[], shares: readonly number[]): uPlot.AlignedData {
  const kept = values.flatMap((value, at) => (values[at + 1] === value ? [] : [at]));
  return [kept.map((at) => values[at] ?? 0), kept.map((at) => shares[at] ?? 0)];
}

function stacked({ unit, bar, segments, top }: StackedData, theme: Theme): Drawing {
  const rounds = Array.from({ length: Math.max(...segments.map(({ values }) => values.length)) }, (_, at) => at + 1);
  const sums = segments.map((_, upTo) => rounds.map((_round, at) => sumOf(segments.slice(0, upTo + 1), at)));
  // The highest sum is drawn first, and each lower one is painted over it.
  const order = segments.map((_, at) => segments.length - 1 - at);
  const bars = uPlot.paths.bars?.({ size: [0.85, 40], gap: 0 });
  return {
    data: [rounds, ...order.map((at) => sums[at] ?? [])],
    options: {
      scales: { x: { time: false, range: () => [0.4, rounds.length + 0.6] }, y: { range: () => [0, top * 1.05 || 1] } },
      axes: [across(theme, bar, false), up(theme, unit, false)],
      series: [
        { label: bar },
        ...order.map((at): uPlot.Series => {
          const { stroke } = strokeOf(theme, at);
          return {
            label: segments[at]?.name ?? '',
            fill: stroke,
            stroke,
            width: 0,
            points: { show: false },
            value: (_plot, _value, _series, round) =>
              round === null ? '' : shownSegment(segments[at]?.values[round], unit),
            ...(bars === undefined ? {} : { paths: bars }),
          };
        }),
      ],
    },
  };
}

/** The sum of a round's segments; null where one of them failed, because no bar is better than half a bar. */
function sumOf(segments: StackedData['segments'], round: number): number | null {
  let sum = 0;
  for (const { values } of segments) {
    const value = values[round] ?? null;
    if (value === null) return null;
    sum += Math.max(0, value);
  }
  return sum;
}

function shownSegment(value: number | null | undefined, unit: string): string {
  return value === null || value === undefined ? 'failed' : `${short(value)} ${unit}`;
}

function lines({ unit, x, y, lines: drawn }: LinesData, theme: Theme): Drawing {
  const points = drawn.flatMap((line) => line.points);
  const xScale = scale(
    points.map((point) => point.x),
    x.log,
  );
  const yScale = scale(
    points.flatMap(({ p10, p50, p90 }) => [p10, p50, p90]),
    y.log,
  );
  const tables = drawn.map(
    (line): uPlot.AlignedData => [
      line.points.map((point) => point.x),
      line.points.map(({ p50 }) => p50),
      line.points.map(({ p90 }) => p90),
      line.points.map(({ p10 }) => p10),
    ],
  );
  return {
    data: uPlot.join(tables),
    options: {
      scales: { x: xScale.scale, y: yScale.scale },
      axes: [across(theme, x.label, xScale.log), up(theme, y.label, yScale.log)],
      bands: drawn.map((_, at) => ({
        series: [3 * at + 2, 3 * at + 3],
        fill: `color-mix(in srgb, ${strokeOf(theme, at).stroke} 18%, transparent)`,
      })),
      series: [
        { label: x.label, value: (_, value) => (value === null ? '–' : short(value)) },
        ...drawn.flatMap(({ name }, at) => lineSeries(theme, name, at, unit)),
      ],
    },
  };
}

/** The series for the median, and two without names for the edges of its band. */
function lineSeries(theme: Theme, name: string, at: number, unit: string): uPlot.Series[] {
  const median = strokeOf(theme, at);
  const edge: uPlot.Series = {
    label: '',
    class: 'edge',
    stroke: 'transparent',
    width: 0,
    spanGaps: true,
    points: { show: false },
  };
  const value = (_: uPlot, found: number | null): string => (found === null ? '' : `${short(found)} ${unit}`);
  const points = { show: true, size: 7, fill: median.stroke };
  return [{ ...median, label: name, spanGaps: true, points, value }, edge, edge];
}
