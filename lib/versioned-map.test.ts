import fc from 'fast-check';
import { expect, test } from 'vitest';
import { changesBetween, VersionedMap } from './versioned-map.ts';

const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const start = new Map(keys.slice(0, 6).map((key, at) => [key, at]));
/** Each step changes some keys; the number says from which earlier version, counted back from the newest. */
const steps = fc.array(
  fc.tuple(
    fc.nat(3),
    fc.array(fc.tuple(fc.constantFrom(...keys), fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined })), {
      maxLength: 3,
    }),
  ),
  { maxLength: 20 },
);

/** All versions, beside each a plain map with the same entries. */
function versionsOf(made: readonly (readonly [number, readonly (readonly [string, number | undefined])[]])[]) {
  const all = [{ version: VersionedMap.of(start), plain: start }];
  for (const [back, list] of made) {
    const from = all[Math.max(0, all.length - 1 - back)] ?? all[0];
    if (from === undefined) throw new Error('there is always a first');
    const plain = new Map(from.plain);
    const changes = new Map(list);
    for (const [key, value] of changes) {
      if (value === undefined) plain.delete(key);
      else plain.set(key, value);
    }
    all.push({ version: from.version.with(changes), plain });
  }
  return all;
}

test('every version keeps its entries, whatever versions follow', () => {
  fc.assert(
    fc.property(steps, (made) => {
      for (const { version, plain } of versionsOf(made)) {
        expect([...version].sort()).toEqual([...plain].sort());
        expect(version.size).toBe(plain.size);
        for (const key of keys) expect([version.get(key), version.has(key)]).toEqual([plain.get(key), plain.has(key)]);
      }
    }),
  );
});

test('the changes between two versions are exactly the keys whose value differs', () => {
  fc.assert(
    fc.property(steps, fc.nat(20), fc.nat(20), (made, a, b) => {
      const all = versionsOf(made);
      const [older, newer] = [all[a % all.length], all[b % all.length]];
      if (older === undefined || newer === undefined) throw new Error('both are there');
      const wanted = keys.flatMap((key) => {
        const [before, after] = [older.plain.get(key), newer.plain.get(key)];
        return before === after ? [] : [{ key, before, after }];
      });
      const found = changesBetween(older.version, newer.version);
      expect(found.sort((x, y) => (x.key < y.key ? -1 : 1))).toEqual(wanted);
      expect(changesBetween(older.plain, newer.version)).toHaveLength(wanted.length);
    }),
  );
});

test('in a map of thousands, a new version and a comparison cost as much as the changes alone', () => {
  const first = VersionedMap.of(Array.from({ length: 5000 }, (_, at) => [`node-${at}`, at] as const));
  let last = first;
  for (let at = 0; at < 100; at++) last = last.with(new Map([[`node-${at % 10}`, -1 - at]]));
  expect(first.stepsTo(last)).toHaveLength(100);
  expect(changesBetween(first, last)).toHaveLength(10);
});

test('an old version that is kept does not make all later changes accumulate', () => {
  const first = VersionedMap.of(start);
  let newest = first;
  for (let at = 0; at < 100; at++) newest = newest.with(new Map([['a', at]]));
  expect(first.stepsTo(newest)).toBeUndefined();
  expect([first.get('a'), newest.get('a')]).toEqual([0, 99]);
});
