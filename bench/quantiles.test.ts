import { expect, test } from 'vitest';
import { quantiles } from './quantiles.ts';

test.for([
  { name: 'one value', values: [7], want: [7, 7, 7] },
  { name: 'unsorted values', values: [10, 2, 9, 1, 3, 8, 4, 7, 5, 6], want: [2, 6, 10] },
  { name: 'none', values: [], want: [Number.NaN, Number.NaN, Number.NaN] },
])('finds the quantiles of $name', ({ values, want }) => {
  expect(quantiles(values, [0.1, 0.5, 0.9])).toEqual(want);
});
