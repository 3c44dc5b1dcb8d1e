import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readRun } from '../run-result.ts';
import { describeProbes } from './probes-figures.ts';
import type { Outcome, Window } from './side-by-side.ts';

const window = (processorMsPerSec: number, packetsPerSec: number): Window => ({ processorMsPerSec, packetsPerSec });
const healthy: Outcome = { states: { reachable: 500, degraded: 0, unreachable: 0, unknown: 4499 }, findings: [] };

test('what probes cost is the median difference of windows that were measured at the same time', () => {
  // The check that each agent makes once a minute falls into different windows.
  const samples = {
    on: [window(6, 48), window(26, 48), window(6, 48), window(6, 48), window(6, 48)],
    off: [window(2, 0), window(2, 0), window(2, 0), window(32, 0), window(2, 0)],
  };
  const { limits, failures, tables } = describeProbes(5000, samples, [healthy]);
  expect(limits.map(({ value, most, unit }) => ({ value, most, unit }))).toEqual([
    { value: 4, most: 5, unit: 'ms/s' },
    { value: 48, most: 50, unit: 'packets/s' },
  ]);
  expect(tables[0]?.rows.map((row) => row.slice(-2))).toEqual([
    ['4.0 (-26.0–24.0)', '2.00'],
    ['48.0 (48.0–48.0)', '48.0'],
  ]);
  expect(failures).toEqual([]);
});

test.for([
  { name: 'a peer that did not answer', states: { reachable: 500, degraded: 0, unreachable: 1, unknown: 4498 } },
  {
    name: 'a peer that answers small packets only',
    states: { reachable: 500, degraded: 1, unreachable: 0, unknown: 4498 },
  },
  { name: 'no peer probed at all', states: { reachable: 0, degraded: 0, unreachable: 0, unknown: 4999 } },
])('with $name the figures are worthless', ({ states }) => {
  const outcome = { states, findings: ['tunnel-blocked: no answer'] };
  expect(describeProbes(5000, { on: [], off: [] }, [healthy, outcome]).failures).toEqual([
    expect.stringMatching(/^not every probe was answered: .*; tunnel-blocked: no answer$/),
  ]);
});

test('the run that is kept keeps both limits, and every probe was answered', () => {
  const { quick, parts } = readRun(join(import.meta.dirname, '../results/probes/result.json'));
  const [part] = parts;
  expect([quick, parts.length, part?.name, part?.failures]).toEqual([false, 1, 'probes', []]);
  const broken = part?.limits.filter(({ value, most }) => !(value <= most));
  expect([part?.limits.length, broken]).toEqual([2, []]);
});
