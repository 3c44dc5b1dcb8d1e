import { expect, test } from 'vitest';
import type { Run } from './agents.ts';
import { describeRuns } from './nodes-figures.ts';

const run = (factor: number): Run => ({
  programmedMs: 1000 * factor,
  startProcessorMs: 100 * factor,
  startBytes: 5e6 * factor,
  peakMb: 80 * factor,
  residentMb: 60 * factor,
  anonymousMb: 20 * factor,
  processorMsPerSec: factor,
  bytesPerSec: 2000 * factor,
});

test('without an API server nothing was measured, and nothing failed', () => {
  expect(describeRuns(new Map(), ['needs it'])).toMatchObject({ figures: [], failures: [], headline: [], limits: [] });
});

test('every measure is compared with flannel’s of the same round, and all but one have the limit 1', () => {
  const runs = { weft: [run(1), run(1)], silent: [], flannel: [run(2), run(4)] };
  const { ratios, failures, headline } = describeRuns(new Map([[5000, runs]]), []);
  expect(ratios).toHaveLength(8);
  for (const { value } of ratios) expect(value).toBeLessThanOrEqual(0.5);
  expect(ratios.filter(({ most }) => most === undefined).map(({ of }) => of)).toEqual(['5000/processor/weft']);
  expect(failures).toEqual([]);
  expect(headline).toHaveLength(3);
});

test('bytes read at start are given per 1000 Nodes', () => {
  const { figures } = describeRuns(new Map([[5000, { weft: [run(1)], silent: [], flannel: [] }]]), []);
  expect(figures.find(({ key }) => key === '5000/start-received/weft')?.samples).toEqual([1]);
});

test('a failed run of ours makes the result a failure, one of flannel’s does not', () => {
  const failed = (weft: (Run | undefined)[], flannel: (Run | undefined)[]) =>
    describeRuns(new Map([[1000, { weft, silent: [], flannel }]]), []).failures;
  expect(failed([run(1), undefined], [run(1), run(1)])).toEqual(['weft failed 1 of 2 times among 1000 Nodes']);
  expect(failed([run(1), run(1)], [undefined, undefined])).toEqual([]);
});

test('without probes the processor time has the limit of the changes, and with them also that of the probes', () => {
  const limits = (weft: Run[], silent: Run[]) =>
    describeRuns(new Map([[5000, { weft, silent, flannel: [] }]]), []).limits.map(({ name, value, most }) => ({
      name,
      value,
      most,
    }));
  expect(limits([run(12)], [run(7)])).toEqual([
    { name: '5000 Nodes: processor while Nodes change, weft, --probes=off', value: 7, most: 10 },
    { name: '5000 Nodes: processor while Nodes change, weft', value: 12, most: 15 },
  ]);
  expect(limits([run(12)], []).map(({ most }) => most)).toEqual([15]);
});
