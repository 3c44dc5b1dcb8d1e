import { expect, test } from 'vitest';
import { markerOf } from './marker.ts';

test.for([
  { name: 'a line', series: { stroke: 'red' }, want: 'red' },
  { name: 'a bar', series: { stroke: 'red', fill: 'blue' }, want: 'blue' },
  {
    name: 'a dashed line',
    series: { stroke: 'red', dash: [10, 3, 2, 3] },
    want: 'repeating-linear-gradient(90deg, red 0px 10px, transparent 10px 13px, red 13px 15px, transparent 15px 18px)',
  },
  { name: 'nothing', series: undefined, want: 'transparent' },
])('$name is $want', ({ series, want }) => {
  expect(markerOf(series)).toBe(want);
});
