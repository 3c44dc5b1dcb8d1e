import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeOne, vxlanLease } from '../../test/support/leases.ts';
import type { Lease } from '../subnet/manager.ts';
import { desired } from './desired.ts';
import { desiredAfterMoves } from './moved.ts';

const config = { ...nodeOne, foreignNexthopIds: new Set<number>() };
const two = vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:02');
const three = vxlanLease('10.244.3.0/24', '192.168.50.13', '02:00:00:00:01:03');

type Leases = ReadonlyMap<string, Lease>;
const movedFrom = (earlier: Leases, leases: Leases) =>
  desiredAfterMoves(desired(earlier, config), earlier, leases, config);

describe('desiredAfterMoves', () => {
  const earlier: Leases = new Map([
    ['two', two],
    ['three', three],
  ]);
  const moved = vxlanLease('10.244.2.0/24', '192.168.50.22', '02:00:00:00:01:22');

  test('changes the peer that moved, and keeps the others as they are', () => {
    const leases = new Map(earlier).set('two', moved);
    const result = movedFrom(earlier, leases);
    expect(result).toEqual(desired(leases, config));
    expect(result?.peers.map(({ key }) => key)).toEqual(['three', 'two']);
  });

  test.for<{ name: string; leases: Leases }>([
    { name: 'a peer that comes', leases: new Map(earlier).set('four', moved) },
    { name: 'a peer that goes', leases: new Map([['three', three]]) },
    {
      name: 'another in the place of one',
      leases: new Map([
        ['three', three],
        ['four', moved],
      ]),
    },
    {
      name: 'another subnet',
      leases: new Map(earlier).set('two', vxlanLease('10.244.9.0/24', '192.168.50.12', '02:00:00:00:01:02')),
    },
    {
      name: 'a MAC another has',
      leases: new Map(earlier).set('two', vxlanLease('10.244.2.0/24', '192.168.50.22', '02:00:00:00:01:03')),
    },
    {
      name: 'an address another has',
      leases: new Map(earlier).set('two', vxlanLease('10.244.2.0/24', '192.168.50.13', '02:00:00:00:01:22')),
    },
    {
      name: 'a lease that is no peer any more',
      leases: new Map(earlier).set('two', { ...moved, backendType: 'host-gw' }),
    },
  ])('leaves to others: $name', ({ leases }) => {
    expect(movedFrom(earlier, leases)).toBeUndefined();
  });

  test('says what is desired, whatever has changed', () => {
    const lease = fc
      .record({
        subnet: fc.integer({ min: 2, max: 6 }),
        mac: fc.integer({ min: 2, max: 9 }),
        ip: fc.integer({ min: 12, max: 19 }),
      })
      .map(({ subnet, mac, ip }) => vxlanLease(`10.244.${subnet}.0/24`, `192.168.50.${ip}`, `02:00:00:00:01:0${mac}`));
    const key = fc.constantFrom('a', 'b', 'c', 'd');
    const changes = fc.array(fc.tuple(key, lease), { maxLength: 3 });
    let handled = 0;
    fc.assert(
      fc.property(fc.dictionary(key, lease), changes, (base, changed) => {
        const before: Leases = new Map(Object.entries(base));
        const leases: Leases = new Map([...before, ...changed]);
        const result = movedFrom(before, leases);
        if (result === undefined) return;
        if (changed.length > 0) handled++;
        expect(result).toEqual(desired(leases, config));
      }),
      { numRuns: 1000 },
    );
    expect(handled).toBeGreaterThan(0);
  });
});
