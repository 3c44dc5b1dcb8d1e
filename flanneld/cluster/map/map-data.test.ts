import { describe, expect, test } from 'vitest';
import { badness, type MapCell, rttStep, sortedOrder } from './map-data.ts';

const fast: MapCell = { s: 'ok', r: 0.2, l: 0 };
const slow: MapCell = { s: 'ok', r: 30, l: 0 };
const dead: MapCell = { s: 'dead', l: 100 };
const node = { version: '', ready: 'yes', peers: '', guard: '', probes: '', drift: '', repairs: 0, problems: [] };
const nodes = ['a', 'b', 'c', 'd'].map((name) => ({ name, ...node }));

describe('sortedOrder', () => {
  const rows = [
    [0, fast, fast, slow],
    [fast, 0, dead, fast],
    [fast, fast, 0, fast],
    [slow, fast, fast, 0],
  ] as const;

  test('by name keeps the order of the nodes', () => {
    expect(sortedOrder({ nodes, rows }, 'name')).toEqual([0, 1, 2, 3]);
  });

  test('puts nodes with the worst row or column first', () => {
    expect(sortedOrder({ nodes, rows }, 'worst')).toEqual([1, 2, 0, 3]);
  });

  test('puts slow nodes first', () => {
    expect(new Set(sortedOrder({ nodes, rows }, 'slowest').slice(0, 2))).toEqual(new Set([0, 3]));
  });

  test('treats missing rows as unknown', () => {
    expect(sortedOrder({ nodes, rows: [] }, 'worst')).toEqual([0, 1, 2, 3]);
  });
});

test('ranks no answer as worse than degraded, degraded as worse than loss, and loss as worse than none', () => {
  const cells: MapCell[] = [dead, { s: 'bad', r: 1 }, { s: 'ok', r: 1, l: 90 }, { s: 'ok', r: 1, l: 1 }, fast];
  const scores = cells.map(badness);
  expect(scores).toEqual([...scores].sort((a, b) => b - a));
  expect(new Set(scores).size).toBe(cells.length);
});

test.for([
  { name: 'nothing', rtt: 0, want: 0 },
  { name: 'just below a step', rtt: 0.249, want: 0 },
  { name: 'a step', rtt: 0.25, want: 1 },
  { name: 'more than all', rtt: 500, want: 6 },
])('$name has its colour', ({ rtt, want }) => {
  expect(rttStep(rtt)).toBe(want);
});
