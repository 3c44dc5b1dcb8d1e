import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeOne, vxlanLease } from '../../../test/support/leases.ts';
import { NEXTHOP_ID_FIRST } from '../../dataplane/objects/nexthop-ids.ts';
import type { Lease } from '../../subnet/manager.ts';
import { type DesiredConfig, desired } from './desired.ts';
import { DesiredPeers } from './desired-peers.ts';

const config = { ...nodeOne, foreignNexthopIds: new Set<number>() };
const two = vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:02');
const three = vxlanLease('10.244.3.0/24', '192.168.50.13', '02:00:00:00:01:03');

type Leases = ReadonlyMap<string, Lease>;
/** The desired peers after the leases have changed; undefined where all must be computed again. */
function updated(earlier: Leases, leases: Leases, at: DesiredConfig = config) {
  const peers = new DesiredPeers(desired(earlier, at), earlier, at);
  const before = new Map(peers.peers);
  const changes = peers.update(leases);
  return changes && { peers, before, changes };
}

/** The same computed from all leases, in the same form. The order of the peers does not matter. */
function whole(leases: Leases, at: DesiredConfig = config) {
  const { peers, problems, doubts } = desired(leases, at);
  return { peers: new Map(peers.map((peer) => [peer.key, peer])), problems, doubts };
}

const shown = ({ peers, problems, doubts }: DesiredPeers) => ({ peers: new Map(peers), problems, doubts });

describe('DesiredPeers', () => {
  const earlier: Leases = new Map([
    ['two', two],
    ['three', three],
  ]);
  const moved = vxlanLease('10.244.2.0/24', '192.168.50.22', '02:00:00:00:01:22');
  const four = vxlanLease('10.244.4.0/24', '192.168.50.14', '02:00:00:00:01:04');

  test.for<{ name: string; leases: Leases }>([
    { name: 'a peer that moved', leases: new Map(earlier).set('two', moved) },
    { name: 'a peer that comes', leases: new Map(earlier).set('four', four) },
    { name: 'a peer that goes', leases: new Map([['three', three]]) },
    {
      name: 'a peer that replaces another one',
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
      name: 'a lease that no longer is a peer',
      leases: new Map(earlier).set('two', { ...moved, backendType: 'host-gw' }),
    },
  ])('calculates $name anew, and keeps the other peers unchanged', ({ leases }) => {
    const result = updated(earlier, leases);
    if (result === undefined) throw new Error('not worked out');
    expect(shown(result.peers)).toEqual(whole(leases));
    const changed = new Set(result.changes.map(({ key }) => key));
    for (const [key, peer] of result.before) if (!changed.has(key)) expect(result.peers.peers.get(key)).toBe(peer);
    for (const { key, before, after } of result.changes) {
      expect([before, after]).toEqual([result.before.get(key), result.peers.peers.get(key)]);
    }
  });

  test('reports no change for a lease that is written again with the same content', () => {
    const result = updated(earlier, new Map(earlier).set('two', { ...two }));
    expect(result?.changes).toEqual([]);
  });

  test.for<{ name: string; leases: Leases }>([
    {
      name: 'a MAC that another peer has',
      leases: new Map(earlier).set('two', vxlanLease('10.244.2.0/24', '192.168.50.22', '02:00:00:00:01:03')),
    },
    {
      name: 'an address that another peer has',
      leases: new Map(earlier).set('two', vxlanLease('10.244.2.0/24', '192.168.50.13', '02:00:00:00:01:22')),
    },
    {
      name: 'a subnet that overlaps another',
      leases: new Map(earlier).set('four', vxlanLease('10.244.2.128/25', '192.168.50.14', '02:00:00:00:01:04')),
    },
  ])('asks for a full calculation: $name', ({ leases }) => {
    expect(updated(earlier, leases)).toBeUndefined();
  });

  test('gives the same result as a full calculation, whatever has changed', () => {
    const lease = fc
      .record({
        subnet: fc.integer({ min: 2, max: 6 }),
        mac: fc.integer({ min: 2, max: 9 }),
        ip: fc.integer({ min: 12, max: 19 }),
        wide: fc.boolean(),
        type: fc.constantFrom('vxlan', 'vxlan', 'vxlan', 'host-gw'),
      })
      .map(({ subnet, mac, ip, wide, type }) => {
        const cidr = wide ? `10.244.${subnet * 16}.0/20` : `10.244.${subnet}.0/24`;
        return { ...vxlanLease(cidr, `192.168.50.${ip}`, `02:00:00:00:01:0${mac}`), backendType: type };
      });
    const key = fc.constantFrom('a', 'b', 'c', 'd');
    const changes = fc.array(fc.tuple(key, fc.option(lease, { nil: undefined })), { maxLength: 3 });
    const foreign = fc.uniqueArray(
      fc.integer({ min: 0, max: 6 }).map((n) => NEXTHOP_ID_FIRST + n),
      { maxLength: 2 },
    );
    let handled = 0;
    fc.assert(
      fc.property(fc.dictionary(key, lease), changes, foreign, (base, changed, ids) => {
        const withIds = { ...nodeOne, foreignNexthopIds: new Set(ids) };
        const before: Leases = new Map(Object.entries(base));
        const leases = new Map(before);
        for (const [at, next] of changed) {
          if (next === undefined) leases.delete(at);
          else leases.set(at, next);
        }
        const result = updated(before, leases, withIds);
        if (result === undefined) return;
        if (changed.length > 0) handled++;
        expect(shown(result.peers)).toEqual(whole(leases, withIds));
      }),
      { numRuns: 1000 },
    );
    expect(handled).toBeGreaterThan(100);
  });
});
