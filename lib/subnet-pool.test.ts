import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addToIp, containsPrefix, formatIp, formatPrefix, networkOf, parsePrefix } from './ip.ts';
import type { NetConf } from './net-conf.ts';
import { parseNetConf } from './net-conf.ts';
import type { SubnetPool } from './subnet-pool.ts';
import { ipv6SubnetPool, poolHolds, subnetPool } from './subnet-pool.ts';

function conf(document: unknown): NetConf {
  return parseNetConf(JSON.stringify(document)).config;
}

function describePool(pool: SubnetPool | undefined): string {
  return pool ? `/${pool.length} ${formatIp(pool.first)}–${formatIp(pool.last)}` : 'none';
}

const only6 = { EnableIPv4: false, EnableIPv6: true };

describe('subnetPool', () => {
  test.for([
    { doc: { Network: '10.3.0.0/16' }, want: '/24 10.3.1.0–10.3.255.0' },
    { doc: { Network: '10.3.0.0/22' }, want: '/24 10.3.1.0–10.3.3.0' },
    { doc: { Network: '10.3.0.0/23' }, want: '/25 10.3.0.128–10.3.1.128' },
    { doc: { Network: '10.3.0.0/28' }, want: '/30 10.3.0.4–10.3.0.12' },
    { doc: { Network: '10.3.0.0/16', SubnetLen: 28 }, want: '/28 10.3.0.16–10.3.255.240' },
    { doc: { Network: '10.3.0.0/28', SubnetLen: 30 }, want: '/30 10.3.0.4–10.3.0.12' },
    { doc: { Network: '10.0.0.0/8', SubnetMin: '10.10.0.0', SubnetMax: '10.99.0.0' }, want: '/24 10.10.0.0–10.99.0.0' },
    { doc: { ...only6, IPv6Network: 'fc00::/48' }, want: 'none' },
  ])('$doc → $want', ({ doc, want }) => {
    expect(describePool(subnetPool(conf(doc)))).toBe(want);
  });

  test.for([
    { doc: { IPv6Network: 'fc00::/48' }, want: '/64 fc00:0:0:1::–fc00:0:0:ffff::' },
    { doc: { IPv6Network: 'fc00::/63' }, want: '/65 fc00::8000:0:0:0–fc00:0:0:1:8000::' },
    { doc: { IPv6Network: 'fc00::/124' }, want: '/126 fc00::4–fc00::c' },
  ])('$doc → $want', ({ doc, want }) => {
    expect(describePool(ipv6SubnetPool(conf({ ...only6, ...doc })))).toBe(want);
  });

  test.for([
    {
      doc: { Network: '10.3.0.0/29' },
      want: 'Network: network is too small. Minimum useful network prefix is /28, got 10.3.0.0/29',
    },
    { doc: { Network: '10.3.0.0/16', SubnetLen: 31 }, want: 'SubnetLen: must be less than /31, got 31' },
    {
      doc: { Network: '10.3.0.0/16', SubnetLen: 17 },
      want:
        'SubnetLen: network must be able to accommodate at least four subnets: ' +
        'expected at least 18 for Network 10.3.0.0/16, got 17',
    },
    {
      doc: { Network: '10.3.0.0/29', SubnetLen: 30 },
      want:
        'SubnetLen: network must be able to accommodate at least four subnets: ' +
        'expected at least 31 for Network 10.3.0.0/29, got 30',
    },
    {
      doc: { Network: '10.3.0.0/16', SubnetMin: '10.4.0.0' },
      want: 'SubnetMin: is not in the range of the Network: expected an address in 10.3.0.0/16, got 10.4.0.0',
    },
    {
      doc: { Network: '10.3.0.0/16', SubnetMax: '10.2.0.0' },
      want: 'SubnetMax: is not in the range of the Network: expected an address in 10.3.0.0/16, got 10.2.0.0',
    },
    {
      doc: { Network: '10.3.0.0/16', SubnetMin: '10.3.1.4' },
      want: 'SubnetMin: is not on a SubnetLen boundary: expected 10.3.1.0 or another multiple of the subnet size, got 10.3.1.4',
    },
    {
      doc: { Network: '10.3.0.0/16', SubnetMin: '10.3.9.0', SubnetMax: '10.3.2.0' },
      want: 'SubnetMin: 10.3.9.0 is above SubnetMax 10.3.2.0',
    },
  ])('refuses $doc', ({ doc, want }) => {
    expect(() => subnetPool(conf(doc))).toThrow(`net-conf: ${want}`);
  });

  test.for([
    {
      doc: { IPv6Network: 'fc00::/125' },
      want: 'IPv6Network: is too small. Minimum useful network prefix is /124',
    },
    { doc: { IPv6Network: 'fc00::/48', IPv6SubnetLen: 127 }, want: 'IPv6SubnetLen: must be less than /127, got 127' },
    {
      doc: { IPv6Network: 'fc00::/48', IPv6SubnetMin: 'fd00::' },
      want: 'IPv6SubnetMin: is not in the range of the IPv6Network: expected an address in fc00::/48, got fd00::',
    },
    {
      doc: { IPv6Network: 'fc00::/48', IPv6SubnetMax: 'fc00::1' },
      want: 'IPv6SubnetMax: is not on a SubnetLen boundary: expected fc00:: or another',
    },
  ])('refuses $doc', ({ doc, want }) => {
    expect(() => ipv6SubnetPool(conf({ ...only6, ...doc }))).toThrow(`net-conf: ${want}`);
  });

  test('every network it accepts has at least three subnets, all inside', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.integer({ min: 1, max: 28 }), (value, length) => {
        const network = networkOf({ ip: { family: 4, value: BigInt(value) }, length });
        const pool = subnetPool(conf({ Network: formatPrefix(network) }));
        if (pool === undefined) throw new Error('no pool');
        const third = addToIp(pool.first, 2n << BigInt(32 - pool.length));
        for (const ip of [pool.first, third, pool.last]) {
          expect(poolHolds(pool, { ip, length: pool.length })).toBe(true);
          expect(containsPrefix(network, { ip, length: pool.length })).toBe(true);
        }
      }),
    );
  });
});

describe('poolHolds', () => {
  const pool = subnetPool(conf({ Network: '10.3.0.0/16', SubnetMin: '10.3.4.0', SubnetMax: '10.3.9.0' }));
  test.for([
    { subnet: '10.3.4.0/24', want: true },
    { subnet: '10.3.9.0/24', want: true },
    { subnet: '10.3.3.0/24', want: false },
    { subnet: '10.3.10.0/24', want: false },
    { subnet: '10.3.4.0/25', want: false },
    { subnet: '10.4.4.0/24', want: false },
    { subnet: 'fc00::/24', want: false },
  ])('$subnet: $want', ({ subnet, want }) => {
    expect(pool && poolHolds(pool, parsePrefix(subnet))).toBe(want);
  });
});
