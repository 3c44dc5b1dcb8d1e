import { describe, expect, test } from 'vitest';
import { judgeRatioOf, judgeValue, showRatio, verdictTable } from './limits.ts';
import type { RatioOfFigures } from './result.ts';
import type { Ratio } from './stats.ts';

const ratio = { value: 0.25, low: 0.2, high: 0.3 };
const nothing = { value: Number.NaN, low: Number.NaN, high: Number.NaN };
const ratioOf = (name: string, of: Ratio, limit: { most?: number; least?: number }): RatioOfFigures => ({
  name,
  of: 'a',
  against: 'b',
  ...of,
  ...limit,
});

describe('a limit', () => {
  test.for([
    { name: 'below it', most: 0.28, want: true },
    { name: 'at it', most: 0.25, want: true },
    { name: 'above it', most: 0.24, want: false },
  ])('of a ratio $name: kept $want', ({ most, want }) => {
    expect(judgeRatioOf(ratioOf('ADD', ratio, { most })).kept).toBe(want);
  });

  test('is not kept when its figure was not measured', () => {
    expect(judgeRatioOf(ratioOf('ADD', nothing, { most: 1 })).kept).toBe(false);
    expect(judgeValue('wall', Number.NaN, 1, 'ms').kept).toBe(false);
  });

  test.for([
    { name: 'enough', least: 0.25, want: true },
    { name: 'too little', least: 0.26, want: false },
    { name: 'not measured', least: 0, of: nothing, want: false },
  ])('that is a least, $name: kept $want', ({ least, of = ratio, want }) => {
    expect(judgeRatioOf(ratioOf('TCP', of, { least })).kept).toBe(want);
  });

  test('that does not exist is kept, and prints nothing', () => {
    const verdict = judgeRatioOf(ratioOf('ADD', ratio, {}));
    expect(verdict).toMatchObject({ limit: '', kept: true });
    expect(verdictTable([verdict])).toBe('ADD  0.250 (0.200–0.300)');
  });

  test('prints its unit when it is of a value', () => {
    expect(judgeValue('wall', 150.04, 150, 'ms')).toEqual({
      what: 'wall',
      shown: '150.0 ms',
      limit: '≤ 150 ms',
      kept: false,
      isUncertain: false,
    });
  });
});

test('prints a ratio with its interval', () => {
  expect(showRatio(ratio)).toBe('0.250 (0.200–0.300)');
  expect(showRatio({ ...nothing, value: 0.25 })).toBe('0.250 (too few rounds)');
  expect(showRatio(JSON.parse(JSON.stringify(nothing)))).toBe('– (too few rounds)');
});

test('the table says which limits were not kept', () => {
  const text = verdictTable([
    judgeRatioOf(ratioOf('ADD', ratio, { most: 0.28 })),
    judgeRatioOf(ratioOf('DEL against x', ratio, { most: 0.1 })),
  ]);
  expect(text.split('\n')).toEqual([
    'ADD            0.250 (0.200–0.300)  ≤ 0.28  kept',
    'DEL against x  0.250 (0.200–0.300)  ≤ 0.1   NOT KEPT',
  ]);
});

describe('a ratio of too few rounds', () => {
  const fewRounds = judgeRatioOf(ratioOf('ADD', { ...nothing, value: 0.25 }, { most: 0.1 }));
  const oneRound = judgeRatioOf(ratioOf('ADD', nothing, { most: 0.1 }));

  test('is not judged by a quick run', () => {
    expect(verdictTable([fewRounds], true)).toBe('ADD  0.250 (too few rounds)  ≤ 0.1  too few rounds to say');
    expect(verdictTable([oneRound], true)).toBe('ADD  – (too few rounds)  ≤ 0.1  too few rounds to say');
  });

  test('is judged by its value in a full run', () => {
    expect(verdictTable([fewRounds])).toBe('ADD  0.250 (too few rounds)  ≤ 0.1  NOT KEPT');
    expect(verdictTable([oneRound])).toBe('ADD  – (too few rounds)  ≤ 0.1  NOT KEPT');
  });

  test('does not keep a quick run from judging what has enough of them', () => {
    const verdicts = [judgeRatioOf(ratioOf('DEL', ratio, { most: 0.1 })), judgeValue('wall', 2, 1, 'ms')];
    expect(verdictTable(verdicts, true).match(/NOT KEPT/g)).toHaveLength(2);
  });
});
