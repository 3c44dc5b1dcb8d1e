import { expect, test } from 'vitest';
import type { BenchOptions } from './options.ts';
import type { Part, PartResult } from './result.ts';
import { describeRest, runParts } from './suite.ts';

const options: BenchOptions = { repository: '/', runs: undefined, quick: true, peer: undefined };
const empty: PartResult = {
  figures: [],
  tables: [],
  ratios: [],
  limits: [],
  failures: [],
  notes: ['measured'],
  plots: [],
  headline: [],
};

const part = (name: string, measure: Part['measure'] = () => Promise.resolve(empty)): Part => ({
  name,
  question: `${name}?`,
  seconds: { full: 600, quick: 20 },
  measure,
});

test('a part that cannot measure is a failure, and the other parts go on', async () => {
  const broken = part('broken', () => Promise.reject(new Error('needs root')));
  const heard: string[] = [];
  const measured = await runParts([broken, part('fine')], options, { write: () => undefined }, ({ name }) => {
    heard.push(name);
  });
  expect(heard).toEqual(['broken', 'fine']);
  expect(measured.map(({ failures }) => failures)).toEqual([['needs root'], []]);
  expect(measured[1]?.notes[0]).toBe('measured');
});

test('the progress of a part names the parts that follow', async () => {
  let written = '';
  const first = part('first', (_, progress) => {
    progress.step('pods', 1, 2);
    return Promise.resolve(empty);
  });
  const terminal = {
    isTTY: true,
    write(text: string) {
      written += text;
    },
  };
  await runParts([first, part('second')], options, terminal, () => undefined);
  expect(written).toMatch(/\[1\/2\] pods: 1 of 2, \d+ s left · then second: about 20 s/);
});

test.for([
  { rest: [], quick: true, want: '' },
  { rest: ['a', 'b'], quick: true, want: ' · then a, b: about 40 s' },
  { rest: ['a', 'b'], quick: false, want: ' · then a, b: about 20 min' },
])('what is left after $rest', ({ rest, quick, want }) => {
  expect(
    describeRest(
      rest.map((name) => part(name)),
      quick,
    ),
  ).toBe(want);
});
