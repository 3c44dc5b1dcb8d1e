import { describe, expect, test } from 'vitest';
import { madeUpFigure } from '../support/made-up.ts';
import { plotData, shortNames } from './plot-data.ts';

describe('a distribution', () => {
  test('rises to 100 % and has no more steps than a screen has pixels', () => {
    const values = Array.from({ length: 1000 }, (_, index) => 1000 - index);
    const data = plotData({ kind: 'distribution', title: '', figures: ['a'] }, [madeUpFigure('a', 'weft', values)]);
    if (data?.kind !== 'distribution') throw new Error('no distribution');
    const [{ values: steps, shares } = { values: [], shares: [] }] = data.curves;
    expect(steps).toHaveLength(300);
    expect([steps.at(0), steps.at(-1)]).toEqual([4, 1000]);
    expect(shares.at(-1)).toBe(100);
    expect([...steps]).toEqual([...steps].sort((a, b) => a - b));
  });

  test('leaves out failed samples, and series that have only these', () => {
    const figures = [madeUpFigure('a', 'weft', [3, Number.NaN, 1]), madeUpFigure('b', 'weft', [Number.NaN])];
    expect(plotData({ kind: 'distribution', title: '', figures: ['a', 'b'] }, figures)).toEqual({
      kind: 'distribution',
      unit: 'µs',
      curves: [{ name: 'a', values: [1, 3], shares: [50, 100] }],
    });
    expect(plotData({ kind: 'distribution', title: '', figures: ['b'] }, figures)).toBeUndefined();
  });

  test('is in milliseconds when the values are many microseconds', () => {
    const figures = [madeUpFigure('a', 'weft', [2000]), madeUpFigure('b', 'reference', [900, 31_000])];
    const plot = { kind: 'distribution', title: '', figures: ['a', 'b'] } as const;
    expect(plotData(plot, figures)).toMatchObject({ unit: 'ms', curves: [{ values: [2] }, { values: [0.9, 31] }] });
    const short = [madeUpFigure('a', 'weft', [700, 800]), ...figures.slice(1)];
    expect(plotData(plot, short)).toMatchObject({ unit: 'µs', curves: [{ values: [700, 800] }, {}] });
  });

  test('refuses a figure that does not exist', () => {
    expect(() => plotData({ kind: 'distribution', title: '', figures: ['c'] }, [])).toThrow('no figure c');
  });
});

test('stacked bars keep their rounds, and one tall bar does not flatten the others', () => {
  const figures = [madeUpFigure('a', 'weft', [1, 1, 1, 90]), madeUpFigure('b', 'weft', [1, Number.NaN, 1, 10])];
  const segments = [
    { name: 'first', figure: 'a' },
    { name: 'second', figure: 'b' },
  ];
  expect(plotData({ kind: 'stacked', title: '', bar: 'pod', segments }, figures)).toMatchObject({
    segments: [
      { name: 'first', values: [1, 1, 1, 90] },
      { name: 'second', values: [1, null, 1, 10] },
    ],
    top: 8,
  });
});

test('bars of many microseconds are in milliseconds', () => {
  const figures = [madeUpFigure('a', 'weft', [400, Number.NaN]), madeUpFigure('b', 'weft', [2000, 3000])];
  const segments = [
    { name: 'first', figure: 'a' },
    { name: 'second', figure: 'b' },
  ];
  expect(plotData({ kind: 'stacked', title: '', bar: 'pod', segments }, figures)).toMatchObject({
    unit: 'ms',
    segments: [{ values: [0.4, null] }, { values: [2, 3] }],
    top: 2.4,
  });
});

test('lines have medians and bands', () => {
  const values = Array.from({ length: 11 }, (_, index) => index);
  const plot = {
    kind: 'lines',
    title: '',
    x: { label: 'n', log: true },
    y: { label: 'µs', log: true },
    series: [{ name: 'weft', points: [{ x: 7, figure: 'a' }] }],
  } as const;
  expect(plotData(plot, [madeUpFigure('a', 'weft', values)])).toMatchObject({
    lines: [{ name: 'weft', points: [{ x: 7, p10: 1, p50: 5, p90: 9 }] }],
  });
});

test('lines of many microseconds are in milliseconds, and so is their axis', () => {
  const series = [{ name: 'weft', points: [{ x: 7, figure: 'a' }] }];
  const plot = {
    kind: 'lines',
    title: '',
    x: { label: 'n', log: true },
    y: { label: 'µs', log: true },
    series,
  } as const;
  expect(plotData(plot, [madeUpFigure('a', 'weft', [20_000])])).toMatchObject({
    unit: 'ms',
    y: { label: 'ms', log: true },
    lines: [{ points: [{ p10: 20, p50: 20, p90: 20 }] }],
  });
});

test.for([
  { names: ['ADD, weft', 'ADD, C floor'], want: ['weft', 'C floor'] },
  { names: ['T7−T0, C floor, UDP', 'T7−T0, chain, UDP'], want: ['C floor', 'chain'] },
  { names: ['ADD, weft', 'DEL, weft'], want: ['ADD', 'DEL'] },
  { names: ['ADD, weft'], want: ['ADD, weft'] },
  { names: ['weft', 'weft, 2 in use'], want: ['weft', 'weft, 2 in use'] },
])('$names are called $want', ({ names, want }) => {
  expect(shortNames(names)).toEqual(want);
});
