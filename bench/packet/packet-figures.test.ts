import { expect, test } from 'vitest';
import { figure } from '../figures.ts';
import { causeTable, describePods } from './packet-figures.ts';
import type { Kind, PodSample } from './packet-rounds.ts';

const MS = 1e6;

/** A pod whose points lie a millisecond apart, in the order of a weft ADD, beginning `late` milliseconds later. */
function podOf(variant: string, kind: Kind, round: number, late = 0): PodSample {
  const at = (ms: number): number => (100 * round + ms) * MS;
  const reached = { t6: at(4 + late), t7: at(6 + late), t8: at(8 + late) };
  const traced = { t1: at(1 + late), t2: at(2 + late), t3: at(3 + late), t4: at(5 + late) };
  const timeline = {
    t0: at(0),
    t5: at(7 + late),
    ...(kind === 'control' ? {} : reached),
    ...(kind === 'traced' ? traced : {}),
  };
  return { variant, kind, round, timeline, plugins: [] };
}

const told = [
  { key: 'weft', name: 'weft' },
  { key: 'floor', name: 'C floor' },
];
const kinds: readonly Kind[] = ['control', 'udp', 'icmp', 'traced'];
const rounds = Array.from({ length: 6 }, (_, round) => [
  ...kinds.map((kind) => podOf('weft', kind, round, 6)),
  podOf('floor', 'udp', round),
  podOf('floor', 'traced', round),
]).flat();

test('a timeline has a row for each point and a column for each variant', () => {
  const table = describePods(rounds, told).tables.find(({ head }) => head[0] === 'ms after T0, median');
  expect(table?.head).toEqual(['ms after T0, median', 'weft', 'C floor']);
  expect(table?.rows).toEqual([
    ['T1 the plugin runs', '7.00', '1.00'],
    ['T2 address allocated', '8.00', '2.00'],
    ['T3 interface up in the pod', '9.00', '3.00'],
    ['T4 host side carries packets', '11.0', '5.00'],
    ['T5 ADD returns', '13.0', '7.00'],
    ['T6 first packet leaves the pod', '10.0', '4.00'],
    ['T7 first packet delivered', '12.0', '6.00'],
    ['T8 answer back', '14.0', '8.00'],
  ]);
});

test('without a trace there is no timeline, and the bars are left out', () => {
  const { tables, plots } = describePods(
    rounds.filter(({ kind }) => kind !== 'traced'),
    told,
  );
  expect(tables.map(({ head }) => head[0])).not.toContain('ms after T0, median');
  expect(plots.map(({ kind }) => kind)).not.toContain('stacked');
});

test('T7−T0 and ADD are compared with those of the pods of the same rounds', () => {
  const { ratios, notes } = describePods(rounds, told);
  expect(ratios.map(({ name, value }) => [name, value])).toEqual([
    ['T7−T0 against C floor', 2],
    ['ADD in the lab against C floor', expect.closeTo(13 / 7)],
  ]);
  expect(notes[0]).toBe('ADD with UDP sender by ADD without: 1.000 (1.000–1.000), the same within noise');
});

test('a sender that changes ADD is a disturbance, and a pod that was not reached is a failure with its name', () => {
  const slow = rounds.map((sample) =>
    sample.kind === 'udp' ? podOf(sample.variant, 'udp', sample.round, 12) : sample,
  );
  expect(describePods(slow, told).notes[0]).toMatch(/^ADD with UDP sender by ADD without: 1\.46.*, DISTURBED: /);
  const lost = { ...podOf('floor', 'udp', 6), failure: 'no packet was delivered' };
  expect(describePods([...rounds, lost], told).failures).toEqual(['C floor, UDP, pod 7: no packet was delivered']);
});

test('each cause is printed with what it adds to a known flow; the tunnel’s own entries add nothing', () => {
  const about = { unit: 'ms', better: 'lower', role: 'detail' } as const;
  const { head, rows } = causeTable([
    figure({ key: 'first/known', name: 'known', ...about }, [0.02, 0.02]),
    figure({ key: 'first/gateway', name: 'gateway', ...about }, [0.07, 0.07]),
  ]);
  expect(head.at(-1)).toBe('more');
  expect(rows.map((row) => [row[0], row.at(-1)])).toEqual([
    ['known', ''],
    ['gateway', '0.050'],
    ['VTEP neighbour: permanent, never asked for', '0'],
    ['FDB entry: permanent, never asked for', '0'],
  ]);
  for (const row of rows) expect(row).toHaveLength(head.length);
});
