import { expect, test } from 'vitest';
import { headlineMarkdown, headlineRows, withUnit } from './headline.ts';
import { madeUpRun } from './support/made-up.ts';

test('every headline has its median and a ratio to each reference', () => {
  const rows = headlineRows(madeUpRun());
  expect(rows.map(({ name, count, ratios }) => ({ name, count, against: ratios.map((each) => each.against) }))).toEqual(
    [
      { name: 'ADD, one pod', count: 99, against: ['chain'] },
      { name: '5000 peers', count: 12, against: ['batch'] },
    ],
  );
});

test('in Markdown', () => {
  const lines = headlineMarkdown(madeUpRun()).split('\n');
  expect(lines[0]).toBe('| | Weft, median | ratio of medians (95 % interval) |');
  expect(lines[2]).toMatch(/^\| ADD, one pod \| [23]\.\d+ ms \| 0\.\d\d \(0\.\d\d–0\.\d\d\) of chain \|$/);
});

test.for([
  { value: 421.6, unit: 'µs', want: '422 µs' },
  { value: 3021, unit: 'µs', want: '3.02 ms' },
  { value: 1234567, unit: 'µs', want: '1235 ms' },
  { value: 82.34, unit: 'ms', want: '82.3 ms' },
  { value: 0.0312, unit: 'ms', want: '0.0312 ms' },
  { value: Number.NaN, unit: 'ms', want: '–' },
])('$value $unit is $want', ({ value, unit, want }) => {
  expect(withUnit(value, unit)).toBe(want);
});
