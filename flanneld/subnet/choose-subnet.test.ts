import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { IpPrefix } from '../../lib/ip.ts';
import { formatPrefix, networkOf, overlaps, parsePrefix } from '../../lib/ip.ts';
import { parseNetConf } from '../../lib/net-conf.ts';
import type { SubnetPool } from '../../lib/subnet-pool.ts';
import { ipv6SubnetPool, poolHolds, subnetPool } from '../../lib/subnet-pool.ts';
import { chooseSubnet } from './choose-subnet.ts';

function pool4(document: object): SubnetPool {
  const pool = subnetPool(parseNetConf(JSON.stringify(document)).config);
  if (pool === undefined) throw new Error('no pool');
  return pool;
}

function pool6(network: string): SubnetPool {
  const document = { EnableIPv4: false, EnableIPv6: true, IPv6Network: network };
  const pool = ipv6SubnetPool(parseNetConf(JSON.stringify(document)).config);
  if (pool === undefined) throw new Error('no pool');
  return pool;
}

function choose(pool: SubnetPool, wanted: string[], taken: string[], random = 0): string {
  const subnet = chooseSubnet(pool, wanted.map(parsePrefix), taken.map(parsePrefix), random);
  return subnet === undefined ? 'none' : formatPrefix(subnet);
}

const pool = pool4({ Network: '10.3.0.0/16' });

describe('chooseSubnet', () => {
  test.for([
    {
      name: 'the first wanted that is free',
      wanted: ['10.3.7.0/24', '10.3.8.0/24'],
      taken: ['10.3.7.0/24'],
      want: '10.3.8.0/24',
    },
    { name: 'not a wanted one outside the network', wanted: ['10.4.1.0/24'], taken: [], want: '10.3.1.0/24' },
    { name: 'not a wanted one of another length', wanted: ['10.3.4.0/25'], taken: [], want: '10.3.1.0/24' },
    { name: 'not a wanted one below the range', wanted: ['10.3.0.0/24'], taken: [], want: '10.3.1.0/24' },
    {
      name: 'not a wanted one a wider lease covers',
      wanted: ['10.3.7.0/24'],
      taken: ['10.3.0.0/21'],
      want: '10.3.8.0/24',
    },
    {
      name: 'not a wanted one a narrower lease cuts',
      wanted: ['10.3.7.0/24'],
      taken: ['10.3.7.128/25'],
      want: '10.3.1.0/24',
    },
    {
      name: 'the first free one, skipping others of every length',
      wanted: [],
      taken: ['10.3.1.0/24', '10.3.2.4/30', '10.3.3.0/24', '10.3.4.0/22'],
      want: '10.3.8.0/24',
    },
    { name: 'one that other families do not take', wanted: [], taken: ['::/0', 'fd00::/64'], want: '10.3.1.0/24' },
    { name: 'none when all is taken', wanted: ['10.3.1.0/24'], taken: ['10.0.0.0/8'], want: 'none' },
  ])('takes $name', ({ wanted, taken, want }) => {
    expect(choose(pool, wanted, taken)).toBe(want);
  });

  test('chooses among the first hundred free ones', () => {
    expect(choose(pool, [], [], 0.999999)).toBe('10.3.100.0/24');
    expect(choose(pool, [], ['10.3.1.0/24'], 0.999999)).toBe('10.3.101.0/24');
    expect(choose(pool4({ Network: '10.3.0.0/28' }), [], [], 0.999999)).toBe('10.3.0.12/30');
  });

  test('ends at the end of the address space', () => {
    const last = pool4({ Network: '255.255.255.0/24' });
    expect(choose(last, [], ['255.255.255.0/24'])).toBe('none');
    expect(choose(last, [], [], 0.999999)).toBe('255.255.255.192/26');
  });

  test('skips a wide lease in one step, also among the millions of subnets of IPv6', () => {
    expect(choose(pool6('fc00::/16'), [], ['fc00::/17'])).toBe('fc00:8000::/64');
  });

  test('gives a free subnet of the pool whatever is taken, and none only when none is free', () => {
    const small = pool4({ Network: '10.3.0.0/24', SubnetLen: 28 });
    const prefix = fc
      .tuple(fc.nat(255), fc.integer({ min: 25, max: 32 }))
      .map(([host, length]): IpPrefix => networkOf({ ip: { family: 4, value: 0x0a030000n + BigInt(host) }, length }));
    fc.assert(
      fc.property(
        fc.array(prefix, { maxLength: 40 }),
        fc.double({ min: 0, max: 0.9999, noNaN: true }),
        (taken, random) => {
          const free = Array.from({ length: 15 }, (_, n): IpPrefix => {
            return { ip: { family: 4, value: small.first.value + BigInt(n * 16) }, length: 28 };
          }).filter((subnet) => !taken.some((other) => overlaps(other, subnet)));
          const chosen = chooseSubnet(small, [], taken, random);
          if (chosen === undefined) expect(free).toEqual([]);
          else {
            expect(poolHolds(small, chosen)).toBe(true);
            expect(free).toContainEqual(chosen);
          }
        },
      ),
    );
  });
});
