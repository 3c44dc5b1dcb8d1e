import { describe, expect, test } from 'vitest';
import { parseRun, readRun, renderRun } from './run-result.ts';
import { madeUpRun } from './support/made-up.ts';

test('a run survives its file', () => {
  expect(parseRun('x', renderRun(madeUpRun()))).toEqual(madeUpRun());
});

test('a figure’s samples are on one line', () => {
  const lines = renderRun(madeUpRun()).split('\n');
  const samples = lines.filter((line) => line.includes('"samples"'));
  expect(samples.length).toBe(9);
  for (const line of samples) expect(line).toMatch(/^ +"samples": \[[-\d.,null]+\]$/);
});

describe('a result file is refused', () => {
  const changed = (change: object): string => JSON.stringify({ ...madeUpRun(), ...change });
  test.for([
    { name: 'what is no JSON', text: 'hello', want: 'a.json: not JSON' },
    {
      name: 'another schema',
      text: changed({ schema: 'k6' }),
      want: 'a.json: schema: expected "weft-bench", got "k6"',
    },
    { name: 'none at all', text: '[]', want: 'a.json: schema: expected "weft-bench", got undefined' },
    { name: 'null', text: 'null', want: 'a.json: schema: expected "weft-bench", got undefined' },
    { name: 'another version', text: changed({ version: 2 }), want: 'a.json: version: expected 1, got 2' },
    {
      name: 'parts without figures',
      text: changed({ parts: [{ name: 'x' }] }),
      want: 'a.json: parts: expected a list',
    },
    { name: 'no machine', text: changed({ machine: null }), want: 'a.json: machine: missing' },
  ])('$name', ({ text, want }) => {
    expect(() => parseRun('a.json', text)).toThrow(want);
  });

  test('that does not exist', () => {
    expect(() => readRun('/nowhere/a.json')).toThrow('/nowhere/a.json: ENOENT');
  });
});
