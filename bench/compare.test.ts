import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareRuns, describeComparison, isWorse } from './compare.ts';
import type { Figure } from './result.ts';
import type { RunResult } from './run-result.ts';
import { madeUpFigure, madeUpRun, madeUpSamples } from './support/made-up.ts';

/** A run with one part, which has these figures. */
function runOf(figures: readonly Figure[], name = 'cni'): RunResult {
  const run = madeUpRun();
  const [part] = run.parts;
  if (part === undefined) throw new Error('no part');
  return { ...run, parts: [{ ...part, name, figures }] };
}

const weft = (values: readonly number[], unit = 'µs'): Figure => madeUpFigure('ADD/weft', 'weft', values, unit);
const verdict = (before: Figure[], after: Figure[]): string | undefined =>
  compareRuns(runOf(before), runOf(after)).figures[0]?.judgement;

const values = fc.array(fc.double({ min: 1e-3, max: 1e7, noNaN: true }), { minLength: 1, maxLength: 60 });

describe('a run', { timeout: 60_000 }, () => {
  test('against itself never differs', () => {
    fc.assert(
      fc.property(values, values, (ours, theirs) => {
        const run = runOf([weft(ours), madeUpFigure('ADD/chain', 'reference', theirs)]);
        const { figures, missing } = compareRuns(run, run);
        expect(figures.map(({ judgement }) => judgement)).not.toContain('slower');
        expect(figures.map(({ judgement }) => judgement)).not.toContain('faster');
        expect(missing).toEqual([]);
      }),
      { numRuns: 20 },
    );
  });

  test('that repeats the same measurement does not differ', () => {
    for (let seed = 1; seed <= 10; seed++) {
      expect(verdict([weft(madeUpSamples(3000, 100, seed))], [weft(madeUpSamples(3000, 100, 1000 + seed))])).toBe(
        'no difference seen',
      );
    }
  });

  test('a shift beyond the noise is found, in both directions', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), fc.double({ min: 1.15, max: 5, noNaN: true }), (seed, factor) => {
        const [before, after] = [madeUpSamples(3000, 100, seed), madeUpSamples(3000 * factor, 100, seed + 1)];
        expect(verdict([weft(before)], [weft(after)])).toBe('slower');
        expect(verdict([weft(after)], [weft(before)])).toBe('faster');
      }),
      { numRuns: 20 },
    );
  });
});

describe('a verdict', () => {
  const base = madeUpSamples(3000, 100, 1);
  const times = (factor: number): number[] => base.map((value) => value * factor);

  test.for<{ name: string; before: Figure[]; after: Figure[]; want: string }>([
    { name: 'sure, but of 3 % only', before: [weft(base)], after: [weft(times(1.03))], want: 'no difference seen' },
    {
      name: 'that the machine moved as far as',
      before: [weft(base), madeUpFigure('ADD/chain', 'reference', base)],
      after: [weft(times(1.2)), madeUpFigure('ADD/chain', 'reference', times(1.25))],
      want: 'no difference seen',
    },
    {
      name: 'beyond what the machine moved',
      before: [weft(base), madeUpFigure('ADD/chain', 'reference', base)],
      after: [weft(times(1.5)), madeUpFigure('ADD/chain', 'reference', times(1.25))],
      want: 'slower',
    },
    { name: 'of one sample', before: [weft([90])], after: [weft([180])], want: 'too few samples' },
    { name: 'of nothing but failures', before: [weft(base)], after: [weft([Number.NaN])], want: 'too few samples' },
    { name: 'of memory', before: [weft(base, 'MB')], after: [weft(times(1.5), 'MB')], want: 'worse' },
    {
      name: 'of what should be high',
      before: [{ ...weft(base, 'Gbit/s'), better: 'higher' }],
      after: [{ ...weft(times(1.5), 'Gbit/s'), better: 'higher' }],
      want: 'better',
    },
    {
      name: 'of a failed round beside others',
      before: [weft([...base, Number.NaN])],
      after: [weft(base)],
      want: 'no difference seen',
    },
  ])('$name: $want', ({ before, after, want }) => {
    expect(verdict(before, after)).toBe(want);
  });

  test('is given for ours only', () => {
    const { figures } = compareRuns(madeUpRun(), madeUpRun());
    expect(figures.map(({ part, key }) => `${part} ${key}`)).not.toContain('cni ADD/chain');
    expect(figures).toHaveLength(6);
  });
});

test('a figure that only one run has is printed, without a verdict', () => {
  const before = runOf([weft([1, 1, 1, 1, 1]), madeUpFigure('DEL/weft', 'weft', [1])]);
  const after = runOf([weft([1, 1, 1, 1, 1])]);
  expect(compareRuns(before, after).missing).toEqual(['cni: DEL/weft is only in the first']);
  expect(compareRuns(before, runOf([], 'peers')).missing).toEqual([
    'cni is only in the first',
    'peers is only in the second',
  ]);
});

test('the text has a line for each figure, the machine’s share, and a count', () => {
  const base = madeUpSamples(3000, 100, 1);
  const twice = base.map((value) => value * 2);
  const compared = compareRuns(
    runOf([weft(base), madeUpFigure('ADD/chain', 'reference', base)]),
    runOf([
      weft(twice),
      madeUpFigure(
        'ADD/chain',
        'reference',
        base.map((value) => value * 1.1),
      ),
    ]),
  );
  expect(compared.figures.some(isWorse)).toBe(true);
  const text = describeComparison(compared);
  expect(text).toMatch(/^cni: ADD\/weft .*2\.000 \(1\.\d+–2\.\d+\) +slower$/m);
  expect(text).toMatch(/^cni: its references moved by a factor of 1\.10/m);
  expect(text).toMatch(/^1 of 1 slower or worse$/m);
});

test('different machines, different lengths and disturbances are printed', () => {
  const run = madeUpRun();
  expect(compareRuns(run, run).unlike).toEqual(['disturbed before: cni', 'disturbed after: cni']);
  const quiet = { ...run, parts: run.parts.map((part) => ({ ...part, notes: [] })) };
  const other = { ...quiet, quick: true, machine: { ...run.machine, cpus: 8, taken: '2027-01-01T00:00:00.000Z' } };
  expect(compareRuns(quiet, quiet).unlike).toEqual([]);
  expect(compareRuns(quiet, other).unlike).toEqual([
    'the machines differ: cpus: 2 before, 8 after',
    'a full run before, a quick one after',
  ]);
  expect(describeComparison(compareRuns(quiet, other))).toContain('the machines differ');
});

test('of two clusters the pod networks are printed, and whether the nodes are the same', () => {
  const info = {
    kernelVersion: '6.1',
    architecture: 'amd64',
    containerRuntimeVersion: 'c://2',
    kubeletVersion: 'v1.36',
  };
  const clusterOf = (about: Record<string, unknown>): RunResult => {
    const run = runOf([weft(madeUpSamples(3000, 10, 1))], 'cluster');
    return { ...run, parts: run.parts.map((part) => ({ ...part, notes: [], about })) };
  };
  const flannel = clusterOf({ network: 'kube-flannel/kube-flannel-ds (f)', nodes: { a: { ...info, bootID: '1' } } });
  const same = clusterOf({ network: 'weft/weft (w)', nodes: { a: { ...info, bootID: '2' } } });
  expect(compareRuns(flannel, same).unlike).toEqual([
    'pod networks: kube-flannel/kube-flannel-ds (f) before, weft/weft (w) after',
  ]);
  const other = clusterOf({ network: 'weft/weft (w)', nodes: { a: { ...info, kernelVersion: '6.2' } } });
  expect(describeComparison(compareRuns(same, other))).toContain(
    'the nodes differ: a (6.1, amd64, c://2, v1.36) before, a (6.2, amd64, c://2, v1.36) after',
  );
});
