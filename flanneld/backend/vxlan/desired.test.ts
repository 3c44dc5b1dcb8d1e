import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatIp, formatPrefix, parseIp, parsePrefix } from '../../../lib/ip.ts';
import { jsonObject, parseJson } from '../../../lib/json.ts';
import { nodeOne, vxlanLease } from '../../../test/support/leases.ts';
import { NEXTHOP_ID_FIRST } from '../../dataplane/objects/nexthop-ids.ts';
import type { Lease } from '../../subnet/manager.ts';
import { type Desired, desired } from './desired.ts';

const config = { ...nodeOne, foreignNexthopIds: new Set<number>() };
const two = vxlanLease('10.244.2.0/24', '192.168.50.12', '02:00:00:00:01:02');
const three = vxlanLease('10.244.3.0/24', '192.168.50.13', '02:00:00:00:01:03');
const own = vxlanLease('10.244.1.0/24', '192.168.50.11', '02:00:00:00:01:01');

function of(leases: Record<string, Lease>, over: Partial<typeof config> = {}): Desired {
  return desired(new Map(Object.entries(leases)), { ...config, ...over });
}

/** The peers as `ip` and `bridge` would show them. */
function shown({ peers }: Desired): string[] {
  return peers.flatMap(({ subnet, mac, publicIp, nexthopId, hasFdb }) => {
    const base = formatIp(subnet.ip);
    return [
      `neigh ${base} lladdr ${mac}`,
      ...(hasFdb ? [`fdb ${mac} dst ${formatIp(publicIp)}`] : []),
      ...(nexthopId === undefined ? [] : [`nexthop ${nexthopId} via ${base}`]),
      `route ${formatPrefix(subnet)} via ${base} nhid ${nexthopId ?? 'none'}`,
    ];
  });
}

describe('desired', () => {
  test('gives each peer a neighbour, an FDB entry, a nexthop and a route through its subnet base', () => {
    expect(shown(of({ two }))).toEqual([
      'neigh 10.244.2.0 lladdr 02:00:00:00:01:02',
      'fdb 02:00:00:00:01:02 dst 192.168.50.12',
      `nexthop ${NEXTHOP_ID_FIRST + 2} via 10.244.2.0`,
      `route 10.244.2.0/24 via 10.244.2.0 nhid ${NEXTHOP_ID_FIRST + 2}`,
    ]);
  });

  test('uses plain routes when the kernel has no nexthop objects', () => {
    expect(shown(desired(new Map([['two', two]]), { ...config, foreignNexthopIds: undefined }))).toEqual([
      'neigh 10.244.2.0 lladdr 02:00:00:00:01:02',
      'fdb 02:00:00:00:01:02 dst 192.168.50.12',
      'route 10.244.2.0/24 via 10.244.2.0 nhid none',
    ]);
  });

  test('skips a nexthop id that another program uses', () => {
    const taken = new Set([NEXTHOP_ID_FIRST + 2]);
    const ids = of({ two, three }, { foreignNexthopIds: taken }).peers.map(({ nexthopId }) => nexthopId);
    expect(new Set(ids).size).toBe(2);
    expect(ids).not.toContain(NEXTHOP_ID_FIRST + 2);
  });

  test.for([
    { name: 'with our address', lease: own },
    { name: 'with an overwritten address but our MAC', lease: { ...own, publicIp: parseIp('203.0.113.7') } },
    { name: 'with our address and unreadable data', lease: { ...own, backendData: 'x' } },
  ])('leaves out our own lease $name', ({ lease }) => {
    const result = of({ own: lease, two });
    expect(result.peers.map(({ key }) => key)).toEqual(['two']);
    expect(result.problems).toEqual([]);
  });

  test('does not need a lease of this family', () => {
    const { subnet: _, publicIp: __, ...rest } = two;
    expect(of({ two: rest })).toMatchObject({ peers: [], problems: [] });
  });
});

/** Every order of a list. */
function permutations<T>(list: readonly T[]): T[][] {
  if (list.length === 0) return [[]];
  return list.flatMap((first, at) =>
    permutations([...list.slice(0, at), ...list.slice(at + 1)]).map((rest) => [first, ...rest]),
  );
}

function backendData(text: string): Partial<Lease> {
  return { backendData: parseJson(text) };
}

describe('a lease that must not be programmed', () => {
  test.for<{ name: string; bad: Partial<Lease>; want: string }>([
    { name: 'another backend', bad: { backendType: 'host-gw' }, want: 'backend type is "host-gw", not vxlan' },
    { name: 'no backend type', bad: { backendType: '' }, want: 'backend type is "", not vxlan' },
    { name: 'data that is text', bad: { backendData: 'x' }, want: 'backend data is "x", not an object' },
    { name: 'null data', bad: { backendData: null }, want: 'has no backend data (VtepMAC)' },
    { name: 'no MAC', bad: backendData('{"VNI":1}'), want: 'has no VtepMAC' },
    { name: 'a MAC that is a number', bad: backendData('{"VtepMAC":7}'), want: 'VtepMAC is 7, expected a MAC' },
    {
      name: 'a MAC with a command',
      bad: backendData('{"VtepMAC":"$(reboot)"}'),
      want: 'VtepMAC is "$(reboot)", expected a MAC',
    },
    {
      name: 'a multicast MAC',
      bad: backendData('{"VtepMAC":"01:00:5e:00:00:01"}'),
      want: 'VtepMAC 01:00:5e:00:00:01 is no unicast MAC',
    },
    {
      name: 'an all-zero MAC',
      bad: backendData('{"VtepMAC":"00:00:00:00:00:00"}'),
      want: 'VtepMAC 00:00:00:00:00:00 is no unicast MAC',
    },
    {
      name: 'our MAC',
      bad: backendData('{"VtepMAC":"02:00:00:00:01:01"}'),
      want: "VtepMAC 02:00:00:00:01:01 is this node's own",
    },
    { name: 'another VNI', bad: backendData('{"VNI":2,"VtepMAC":"02:00:00:00:01:02"}'), want: 'VNI is 2, ours is 1' },
    {
      name: 'a number that is no VNI',
      bad: backendData('{"VNI":1.5,"VtepMAC":"02:00:00:00:01:02"}'),
      want: 'VNI is 1.5, expected integer 1–16777215',
    },
    { name: 'our address', bad: { publicIp: nodeOne.publicIp }, want: "public IP 192.168.50.11 is this node's own" },
    { name: 'loopback', bad: { publicIp: parseIp('127.0.0.1') }, want: 'public IP 127.0.0.1 is no unicast address' },
    { name: 'multicast', bad: { publicIp: parseIp('239.1.1.1') }, want: 'public IP 239.1.1.1 is no unicast address' },
    {
      name: 'broadcast',
      bad: { publicIp: parseIp('255.255.255.255') },
      want: 'public IP 255.255.255.255 is no unicast address',
    },
    { name: 'an IPv6 address', bad: { publicIp: parseIp('fd00::1') }, want: 'public IP fd00::1 is not IPv4' },
    {
      name: 'an address inside the overlay',
      bad: { publicIp: parseIp('10.244.9.9') },
      want: 'public IP 10.244.9.9 lies inside the network 10.244.0.0/16',
    },
    {
      name: 'our subnet',
      bad: { subnet: parsePrefix('10.244.1.0/24') },
      want: "subnet 10.244.1.0/24 overlaps this node's 10.244.1.0/24",
    },
    {
      name: 'a subnet that contains ours',
      bad: { subnet: parsePrefix('10.244.0.0/20') },
      want: "subnet 10.244.0.0/20 overlaps this node's 10.244.1.0/24",
    },
    {
      name: 'a subnet outside the network',
      bad: { subnet: parsePrefix('10.9.0.0/24') },
      want: 'subnet 10.9.0.0/24 is outside the network 10.244.0.0/16',
    },
    {
      name: 'the default route',
      bad: { subnet: parsePrefix('0.0.0.0/0') },
      want: "subnet 0.0.0.0/0 overlaps this node's 10.244.1.0/24",
    },
    {
      name: 'host bits',
      bad: { subnet: parsePrefix('10.244.2.1/24') },
      want: 'subnet 10.244.2.1/24 has host bits set',
    },
  ])('$name', ({ bad, want }) => {
    const result = of({ bad: { ...two, ...bad }, three });
    expect(result.problems).toEqual([{ key: 'bad', reason: want }]);
    expect(result.peers.map(({ key }) => key)).toEqual(['three']);
  });

  test('has no public IP', () => {
    const { publicIp: _, ...rest } = two;
    expect(of({ two: rest }).problems).toEqual([{ key: 'two', reason: 'has no public IP' }]);
  });

  test('is accepted without a VNI and with keys in any case, as old agents wrote it', () => {
    const old = { ...two, backendData: jsonObject({ vtepmac: '02:00:00:00:01:02' }) };
    expect(of({ old })).toMatchObject({ problems: [], peers: [{ key: 'old', mac: '02:00:00:00:01:02' }] });
  });
});

describe('two nodes with one public address', () => {
  const rival = vxlanLease('10.244.9.0/24', '192.168.50.12', '02:00:00:00:01:99');

  test('are both programmed, and one of them is reported', () => {
    const { peers, problems, doubts } = of({ two, rival });
    expect(peers.map(({ key }) => key)).toEqual(['rival', 'two']);
    expect(problems).toEqual([]);
    expect(doubts).toEqual([{ key: 'two', reason: 'public IP 192.168.50.12 is also that of rival' }]);
  });

  test('count as one node with an old lease when they have the same MAC as well', () => {
    const old = vxlanLease('10.244.9.0/24', '192.168.50.12', '02:00:00:00:01:02');
    expect(of({ two, old })).toMatchObject({ problems: [], doubts: [] });
  });
});

describe('leases that exclude each other', () => {
  const at = (created: string, subnet: string, host: number, mac: number): Lease => ({
    ...vxlanLease(subnet, `192.168.50.${host}`, `02:00:00:00:01:${mac}`),
    created,
  });

  test.for([
    {
      name: 'a subnet, whatever its key',
      later: at('2', '10.244.2.0/24', 99, 99),
      want: 'subnet 10.244.2.0/24 overlaps that of node-1',
    },
    {
      name: 'a subnet that is part of it',
      later: at('2', '10.244.2.8/31', 99, 99),
      want: 'subnet 10.244.2.8/31 overlaps that of node-1',
    },
    {
      name: 'a subnet that contains it',
      later: at('2', '10.244.2.0/23', 99, 99),
      want: 'subnet 10.244.2.0/23 overlaps that of node-1',
    },
    {
      name: 'a MAC at another address',
      later: at('2', '10.244.9.0/24', 99, 12),
      want: 'VtepMAC 02:00:00:00:01:12 is also that of node-1',
    },
  ])('the older lease keeps $name', ({ later, want }) => {
    const result = of({ aaa: later, 'node-1': at('1', '10.244.2.0/24', 12, 12) });
    expect(result.peers.map(({ key }) => key)).toEqual(['node-1']);
    expect(result.problems).toEqual([{ key: 'aaa', reason: want }]);
  });

  test('of two leases with the same address the later one is reported', () => {
    const result = of({ aaa: at('2', '10.244.9.0/24', 12, 99), 'node-1': at('1', '10.244.2.0/24', 12, 12) });
    expect(result.peers).toHaveLength(2);
    expect(result.doubts).toEqual([{ key: 'aaa', reason: 'public IP 192.168.50.12 is also that of node-1' }]);
  });

  test('a lease of unknown age counts as the youngest, and between two of them the key decides', () => {
    const unknown = vxlanLease('10.244.2.0/24', '192.168.50.99', '02:00:00:00:01:99');
    expect(of({ aaa: unknown, 'node-1': at('1', '10.244.2.0/24', 12, 12) }).problems[0]?.key).toBe('aaa');
    expect(of({ b: two, a: unknown }).problems[0]?.key).toBe('b');
  });

  test('no lease takes a subnet, MAC or address from an older lease, in whatever order they arrive', () => {
    const number = (max: number) => fc.integer({ min: 0, max });
    const claim = fc.record({ subnet: number(4), length: fc.constantFrom(20, 24, 31), mac: number(3), ip: number(3) });
    const claims = fc.uniqueArray(fc.tuple(fc.string({ maxLength: 2 }), claim), {
      selector: ([key]) => key,
      maxLength: 5,
    });
    fc.assert(
      fc.property(claims, (list) => {
        const leases = list.map(([key, { subnet, length, mac, ip }], age): [string, Lease] => [
          key,
          at(String(age), `10.244.${length === 20 ? 16 * (subnet + 1) : 16 + subnet}.0/${length}`, 20 + ip, 20 + mac),
        ]);
        for (let elders = 0; elders <= leases.length; elders++) {
          const before = desired(new Map(leases.slice(0, elders)), config);
          for (const order of permutations(leases)) {
            const all = desired(new Map(order), config);
            const winners = all.peers.filter(({ key }) => leases.findIndex(([name]) => name === key) < elders);
            expect(winners.map(({ key }) => key)).toEqual(before.peers.map(({ key }) => key));
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test('two subnets of one node share its FDB entry', () => {
    const moved = vxlanLease('10.244.3.0/24', '192.168.50.12', '02:00:00:00:01:02');
    const { peers, problems } = of({ a: two, b: moved });
    expect(problems).toEqual([]);
    expect(peers.map(({ key, hasFdb }) => [key, hasFdb])).toEqual([
      ['a', true],
      ['b', false],
    ]);
  });

  test('have the same result in any order', () => {
    const lease = fc
      .record({
        subnet: fc.integer({ min: 0, max: 5 }),
        mac: fc.integer({ min: 1, max: 4 }),
        ip: fc.integer({ min: 10, max: 14 }),
        wide: fc.boolean(),
      })
      .map(({ subnet, mac, ip, wide }) =>
        vxlanLease(
          wide ? `10.244.${subnet * 16}.0/20` : `10.244.${subnet}.0/24`,
          `192.168.50.${ip}`,
          `02:00:00:00:01:0${mac}`,
        ),
      );
    const leases = fc.uniqueArray(fc.tuple(fc.string({ maxLength: 2 }), lease), {
      selector: ([key]) => key,
      maxLength: 12,
    });
    const orders = leases.chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(orders, ([one, other]) => {
        const [first, second] = [desired(new Map(one), config), desired(new Map(other), config)];
        expect(shown(first)).toEqual(shown(second));
        expect(first.problems).toEqual(second.problems);
      }),
    );
  });
});
