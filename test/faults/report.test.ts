import { expect, test } from 'vitest';
import { markdownTable, median, worst } from './report.ts';

test.for([
  { values: [3], want: 3 },
  { values: [9, 1, 5], want: 5 },
  { values: [4, 1, 2, 10], want: 3 },
  { values: [10, 9, 100], want: 10 },
  { values: [], want: 0 },
])('the median of $values is $want', ({ values, want }) => {
  expect(median(values)).toBe(want);
});

test('the worst of no values is 0', () => {
  expect(worst([])).toBe(0);
  expect(worst([2, 7, 3])).toBe(7);
});

test('a table has its first column on the left and the others on the right', () => {
  const table = markdownTable(
    ['fault', 'lost'],
    [
      ['route', '2'],
      ['everything', '100'],
    ],
  );
  expect(table.split('\n')).toEqual([
    '| fault      | lost |',
    '| ---------- | ---: |',
    '| route      |    2 |',
    '| everything |  100 |',
    '',
  ]);
});

test('a row that is too short is filled up', () => {
  expect(markdownTable(['a', 'b'], [['x']])).toContain('| x   |     |');
});
