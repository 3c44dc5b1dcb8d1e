import { expect, test } from 'vitest';
import { type Drift, DriftLedger } from './drift-ledger.ts';
import { FoldedDrift } from './folded-drift.ts';

const of = (object: Drift['object'], count?: number): Drift => ({
  object,
  place: 'flannel.1',
  what: object,
  was: 'missing',
  cmd: 'x',
  ...(count !== undefined && { count }),
});

test('an entry without a cause is noted unchanged', () => {
  const ledger = new DriftLedger();
  const folded = new FoldedDrift(ledger);
  folded.note(of('route'));
  folded.close();
  expect(ledger.entries()).toMatchObject([{ object: 'route' }]);
});

test('a lost device and everything lost with it are one entry, in which each object is counted', () => {
  const ledger = new DriftLedger();
  const folded = new FoldedDrift(ledger);
  folded.cause(of('link'));
  folded.cause(of('address'));
  for (const drift of [of('neigh'), of('neigh'), of('route', 150)]) folded.note(drift);
  expect(ledger.entries()).toEqual([]);
  folded.close();
  expect(ledger.entries()).toMatchObject([{ object: 'link', followed: { address: 1, neigh: 2, route: 150 } }]);
  expect((['link', 'address', 'neigh', 'route', 'fdb'] as const).map((object) => ledger.total(object))).toEqual([
    1, 1, 2, 150, 0,
  ]);
});

test('an entry after the end of the run is not connected with it', () => {
  const ledger = new DriftLedger();
  const folded = new FoldedDrift(ledger);
  folded.cause(of('link'));
  folded.close();
  folded.note(of('route'));
  folded.close();
  const entries = ledger.entries();
  expect(entries.map(({ object, followed }) => [object, followed])).toEqual([
    ['link', undefined],
    ['route', undefined],
  ]);
});
