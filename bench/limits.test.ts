import { describe, expect, test } from 'vitest';
import { judgeRatio, judgeValue, showRatio, verdictTable } from './limits.ts';

const ratio = { value: 0.25, low: 0.2, high: 0.3 };

describe('a limit', () => {
  test.for([
    { name: 'below it', most: 0.28, want: true },
    { name: 'at it', most: 0.25, want: true },
    { name: 'above it', most: 0.24, want: false },
  ])('of a ratio $name: kept $want', ({ most, want }) => {
    expect(judgeRatio('ADD', ratio, most).kept).toBe(want);
  });

  test('on what was not measured is not kept', () => {
    expect(judgeRatio('ADD', { value: Number.NaN, low: Number.NaN, high: Number.NaN }, 1).kept).toBe(false);
    expect(judgeValue('wall', Number.NaN, 1, 'ms').kept).toBe(false);
  });

  test('on a value names its unit', () => {
    expect(judgeValue('wall', 150.04, 150, 'ms')).toEqual({
      what: 'wall',
      shown: '150.0 ms',
      most: '150 ms',
      kept: false,
    });
  });
});

test('a ratio is shown with its interval', () => {
  expect(showRatio(ratio)).toBe('0.250 (0.200–0.300)');
});

test('the table says which limits were not kept', () => {
  const text = verdictTable([judgeRatio('ADD', ratio, 0.28), judgeRatio('DEL against x', ratio, 0.1)]);
  expect(text.split('\n')).toEqual([
    'ADD            0.250 (0.200–0.300)  ≤ 0.28     kept',
    'DEL against x  0.250 (0.200–0.300)  ≤ 0.1      NOT KEPT',
  ]);
});
