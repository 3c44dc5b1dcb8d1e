import { expect, test } from 'vitest';
import { type Plan, pairSteps, type StepResult } from './plan.ts';
import { collectSamples, foundStates, measured, samplesOf } from './samples.ts';

const attachment = { containerId: 'c', pod: 0 };
const variant = (name: string) => ({ name, node: 0, path: '/x', argv: ['/x'], cniPath: '/', config: '{}' });
const plan: Plan = {
  scratch: '/s',
  nodes: 1,
  pods: 1,
  variants: [variant('a'), variant('b')],
  steps: [...pairSteps(2, 2, 0), { kind: 'inspect', variant: 1, attachment, pauseMs: 0 }],
};
const well = (us: number): StepResult => ({ us, failures: [] });

// Round 0: a ADD, a DEL, b ADD, b DEL; round 1 begins with b.
const results = [
  ...[well(1), well(2), well(3), well(4), { us: 5, failures: ['b broke'] }, well(6), well(7), well(8)],
  { us: 0, failures: [], found: ['eth0 up'] },
];

test('samples are sorted by round, whatever the order in the round', () => {
  const samples = collectSamples({ plan, from: 0, to: 9 }, { results, leftovers: [] });
  expect(samplesOf(samples, 'a', 'ADD').us).toEqual([1, 7]);
  expect(samplesOf(samples, 'a', 'DEL').us).toEqual([2, 8]);
  expect(samplesOf(samples, 'b', 'DEL').us).toEqual([4, 6]);
});

test('a failure keeps its place in its round and has no value', () => {
  const samples = samplesOf(collectSamples({ plan, from: 0, to: 9 }, { results, leftovers: [] }), 'b', 'ADD');
  expect(samples.us).toEqual([3, Number.NaN]);
  expect(samples.failures).toEqual(['b broke']);
  expect(measured(samples)).toEqual([3]);
});

test('steps outside the range are for warming up', () => {
  const samples = collectSamples({ plan, from: 4, to: 8 }, { results, leftovers: [] });
  expect(samplesOf(samples, 'a', 'ADD').us).toEqual([7]);
});

test('a missing result is no sample', () => {
  const lost = { results: results.slice(1), leftovers: [] };
  expect(() => collectSamples({ plan, from: 0, to: 9 }, lost)).toThrow('8 results of 9 steps');
});

test('what was never measured has no samples', () => {
  expect(() => samplesOf([], 'a', 'ADD')).toThrow('no samples of ADD by a');
});

test('readings of the kernel’s state are found by variant', () => {
  expect([...foundStates(plan, { results, leftovers: [] })]).toEqual([['b', ['eth0 up']]]);
});
