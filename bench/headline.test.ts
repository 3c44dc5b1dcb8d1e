import { expect, test } from 'vitest';
import { ratioOfFigures } from './figures.ts';
import { headlineMarkdown, headlineRows, headlineSentence, headlineTable, termsIn, withUnit } from './headline.ts';
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

test('in the terminal every ratio has a line, and a figure without one has a dash', () => {
  const [part] = madeUpRun().parts;
  if (part === undefined) throw new Error('no part');
  const [ratio] = part.ratios;
  if (ratio === undefined) throw new Error('no ratio');
  const lines = (ratios: typeof part.ratios): string[] =>
    headlineTable({ ...madeUpRun(), parts: [{ ...part, ratios }] }).split('\n');
  expect(lines([ratio, ratio])).toEqual([
    expect.stringMatching(/^headline figures +median +p99 +n +ratio of medians \(95 %\)$/),
    expect.stringMatching(/^ADD, one pod +[23]\.\d+ ms +– +99 +0\.\d\d \(0\.\d\d–0\.\d\d\) +of chain$/),
    expect.stringMatching(/^ +0\.\d\d \(0\.\d\d–0\.\d\d\) +of chain$/),
  ]);
  expect(lines([])).toEqual([expect.anything(), expect.stringMatching(/^ADD, one pod .* 99 +–$/)]);
});

test('one sentence says the result, what it is compared with, and which way is better', () => {
  expect(headlineSentence(madeUpRun())).toMatch(
    /^ADD, one pod: [23]\.\d+ ms at the median, 0\.\d\d \(0\.\d\d–0\.\d\d\) of chain \(less is better\); 5000 peers: .* of batch \(less is better\)\.$/,
  );
  const none = { ...madeUpRun(), parts: madeUpRun().parts.map((part) => ({ ...part, ratios: [] })) };
  expect(headlineSentence(none)).toBe('');
});

test('terms are explained where they occur', () => {
  expect(termsIn('T7−T0, against the C floor').map(({ term }) => term)).toEqual(['T7−T0', 'C floor']);
  expect(termsIn('ADD')).toEqual([]);
});

test('a p99 needs a hundred samples, and a ratio more than one round', () => {
  const [part] = madeUpRun().parts;
  if (part === undefined) throw new Error('no part');
  const withSamples = (count: number) => {
    const figures = part.figures.map((each) => ({
      ...each,
      samples: Array.from({ length: count }, (_, at) => 1000 + at),
    }));
    const ratios = [ratioOfFigures('r', figures, { of: 'ADD/weft', against: 'ADD/chain' })];
    return headlineRows({ ...madeUpRun(), parts: [{ ...part, figures, ratios }] })[0];
  };
  expect([99, 100].map((count) => withSamples(count)?.p99)).toEqual(['–', '1.10 ms']);
  expect([1, 2].map((count) => withSamples(count)?.ratios.length)).toEqual([0, 1]);
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
  { value: 5, unit: 'ms', want: '5.00 ms' },
  { value: 0.0312, unit: 'ms', want: '0.0312 ms' },
  { value: Number.NaN, unit: 'ms', want: '–' },
])('$value $unit is $want', ({ value, unit, want }) => {
  expect(withUnit(value, unit)).toBe(want);
});

test('a reference’s short name leaves out what ours has too', () => {
  const run = madeUpRun();
  const [part] = run.parts;
  if (part === undefined) throw new Error('no part');
  const [ours, theirs] = part.figures.map((each, at) => ({ ...each, name: at === 0 ? 'T7, UDP' : 'T7, C floor, UDP' }));
  if (ours === undefined || theirs === undefined) throw new Error('no figures');
  const renamed = { ...run, parts: [{ ...part, figures: [ours, theirs, ...part.figures.slice(2)] }] };
  expect(headlineRows(renamed)[0]?.ratios[0]?.against).toBe('C floor');
});
