import { describe, expect, test } from 'vitest';
import { type IpPrefix, parsePrefix } from '../../../lib/ip.ts';
import { isReservedNexthopId, NEXTHOP_ID_FIRST, NexthopIds } from './nexthop-ids.ts';

const network = parsePrefix('10.244.0.0/16');
const idsOf = (of: IpPrefix, subnets: readonly IpPrefix[], taken: ReadonlySet<number>): (number | undefined)[] => {
  const ids = new NexthopIds(of, taken);
  return subnets.map((subnet) => ids.take(subnet));
};
const idOf = (of: string, subnet: string): number | undefined =>
  idsOf(parsePrefix(of), [parsePrefix(subnet)], new Set())[0];

describe('the id of a subnet nobody contests', () => {
  test.for([
    { name: 'the first subnet', of: '10.244.0.0/16', subnet: '10.244.0.0/24', want: NEXTHOP_ID_FIRST },
    { name: 'the last of a /16', of: '10.244.0.0/16', subnet: '10.244.255.0/24', want: NEXTHOP_ID_FIRST + 255 },
    { name: 'one of a /8', of: '10.0.0.0/8', subnet: '10.1.2.0/24', want: NEXTHOP_ID_FIRST + 258 },
    { name: 'IPv6, in the other half', of: 'fd00::/48', subnet: 'fd00:0:0:5::/64', want: NEXTHOP_ID_FIRST + 0x80005 },
  ])('$name', ({ of, subnet, want }) => {
    expect(idOf(of, subnet)).toBe(want);
  });

  test('stays in the reserved range, also where a network has more subnets than ids', () => {
    for (const subnet of ['10.255.255.240/28', '10.128.0.0/28']) {
      expect(isReservedNexthopId(idOf('10.0.0.0/8', subnet) ?? 0)).toBe(true);
    }
    expect(idOf('fd00::/16', 'fd00:ffff:ffff:ffff::/64')).toBe(0x57efffff);
  });
});

describe('NexthopIds', () => {
  const subnets = ['10.244.2.0/24', '10.244.3.0/24', '10.244.2.0/25'].map(parsePrefix);

  test('gives every subnet an id of its own, which is the same on every run', () => {
    const ids = idsOf(network, subnets, new Set());
    expect(ids).toEqual([NEXTHOP_ID_FIRST + 2, NEXTHOP_ID_FIRST + 3, NEXTHOP_ID_FIRST + 4]);
    expect(idsOf(network, subnets, new Set())).toEqual(ids);
  });

  test('skips ids of other programs, and continues at the start of the range after its end', () => {
    const taken = new Set([NEXTHOP_ID_FIRST + 2, NEXTHOP_ID_FIRST + 3]);
    expect(idsOf(network, subnets.slice(0, 1), taken)).toEqual([NEXTHOP_ID_FIRST + 4]);
    const v6 = parsePrefix('fd00::/16');
    const last = [parsePrefix('fd00:ffff:ffff:ffff::/64')];
    expect(idsOf(v6, last, new Set([0x57efffff]))).toEqual([NEXTHOP_ID_FIRST + 0x80000]);
  });
});
