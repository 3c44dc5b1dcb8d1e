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

test('what has no cause is noted as it is', () => {
  const ledger = new DriftLedger();
  const folded = new FoldedDrift(ledger);
  folded.note(of('route'));
  folded.close();
  expect(ledger.entries()).toMatchObject([{ object: 'route' }]);
});

test('a device and all that followed from its loss are one entry, and are counted each by its object', () => {
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

test('what is noted after the run is over has nothing to do with it', () => {
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
