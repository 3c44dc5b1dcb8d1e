import { expect, test } from 'vitest';
import { formatIp, parseIp, parsePrefix } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import type { FdbEntry } from '../../lib/rtnetlink/fdb.ts';
import type { Link } from '../../lib/rtnetlink/link.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';
import { IFF_LOOPBACK, IFF_UP, NUD_PERMANENT, RT_TABLE_MAIN } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { outerAddresses, outerOf } from './encapsulation.ts';
import type { Observed } from './observe.ts';

const UNDERLAY = 2;
const TUNNEL = 3;
const local = parseIp('192.168.7.1');
const mac = parseMac('02:00:00:00:01:01');
const link = (parts: Partial<Link> & { readonly index: number; readonly name: string }): Link => ({
  ...{ flags: IFF_UP, mtu: 1500, operState: 6 },
  ...parts,
});
const eth0 = link({ index: UNDERLAY, name: 'eth0', mac: parseMac('02:00:00:00:00:01') });
const vxlan = { vni: 1, port: 8472, local, lowerIndex: UNDERLAY, learning: false };
const flannel = link({ index: TUNNEL, name: 'flannel.1', kind: 'vxlan', mac, mtu: 1450, vxlan });
const route: Route = {
  ...{ family: 4, destination: parsePrefix('0.0.0.0/0'), gateway: parseIp('192.168.7.254'), oif: UNDERLAY },
  ...{ table: RT_TABLE_MAIN, protocol: 3, scope: 0, type: 1, flags: 0 },
};
const usual: Observed = {
  ...{ links: [eth0, flannel], neighs: [], results: [], fdb: [], ttl: 64 },
  qdiscs: [
    { index: UNDERLAY, kind: 'mq' },
    { index: UNDERLAY, kind: 'fq_codel' },
    { index: UNDERLAY, kind: 'clsact' },
    { index: 9, kind: 'htb' },
  ],
  routes: [route],
  sourcePorts: { first: 32_768, count: 28_231 },
};

test('a tunnel as flannel makes it, on a plain Ethernet device, can be replaced by programs', () => {
  expect(outerOf(usual, flannel)).toEqual({
    underlay: eth0,
    settings: {
      ...{ underlayIfindex: UNDERLAY, local, ownMac: mac, vni: 1, port: 8472, ttl: 64 },
      sourcePorts: { first: 32_768, count: 28_231 },
      keepWayNs: 10_000_000,
    },
  });
});

test.for<{ name: string; tunnel: Partial<Link>; want: string }>([
  {
    name: 'a tunnel without a port',
    tunnel: { vxlan: { vni: 1, learning: false, local } },
    want: 'flannel.1 is not over IPv4',
  },
  {
    name: 'a tunnel over IPv6',
    tunnel: { vxlan: { ...vxlan, local: parseIp('fd00::1') } },
    want: 'flannel.1 is not over IPv4',
  },
  { name: 'group policies', tunnel: { vxlan: { ...vxlan, gbp: true } }, want: 'flannel.1 has group policies' },
  { name: 'a ttl', tunnel: { vxlan: { ...vxlan, ttl: 9 } }, want: 'flannel.1 has ttl 9' },
  { name: 'a tos', tunnel: { vxlan: { ...vxlan, tos: 1 } }, want: 'flannel.1 has tos 1' },
  { name: 'learning', tunnel: { vxlan: { ...vxlan, learning: true } }, want: 'flannel.1 has learning' },
  { name: 'no device below', tunnel: { vxlan: { ...vxlan, lowerIndex: 77 } }, want: 'flannel.1 is on no device' },
])('$name is not imitated', ({ tunnel, want }) => {
  expect(outerOf(usual, { ...flannel, ...tunnel } as Link)).toBe(want);
});

test.for<{ name: string; underlay: Partial<Link>; want: string }>([
  { name: 'that is down', underlay: { flags: 0 }, want: 'eth0 is down' },
  { name: 'in a bridge', underlay: { master: 5 }, want: 'eth0 belongs to a bridge, bond or VRF' },
  { name: 'of a VLAN', underlay: { kind: 'vlan' }, want: 'eth0 is of kind vlan' },
  { name: 'that is the loopback', underlay: { flags: IFF_UP | IFF_LOOPBACK }, want: 'eth0 is no Ethernet device' },
])('programs do not encapsulate over a device $name', ({ underlay, want }) => {
  expect(outerOf({ ...usual, links: [{ ...eth0, ...underlay } as Link, flannel] }, flannel)).toBe(want);
});

test.for<{ name: string; change: Partial<Observed>; want: string }>([
  {
    name: 'a queue that limits or sorts',
    change: { qdiscs: [{ index: UNDERLAY, kind: 'htb' }] },
    want: 'traffic control (tc qdisc htb) is set up on eth0',
  },
  {
    name: 'filters for what arrives',
    change: { qdiscs: [{ index: UNDERLAY, kind: 'ingress' }] },
    want: 'traffic control (tc qdisc ingress) is set up on eth0',
  },
  {
    name: 'a route that takes smaller packets only',
    change: { routes: [route, { ...route, destination: parsePrefix('10.9.0.0/16'), mtu: 1499 }] },
    want: 'the kernel treats packets to 10.9.0.0/16 in a special way',
  },
  {
    name: 'a route with a ttl',
    change: { routes: [{ ...route, hopLimit: 9 }] },
    want: 'the kernel treats packets to 0.0.0.0/0 in a special way',
  },
  { name: 'an unknown ttl', change: { ttl: undefined }, want: 'the kernel does not say its ttl and ports' },
])('programs do not encapsulate beside $name', ({ change, want }) => {
  expect(outerOf({ ...usual, ...change }, flannel)).toBe(want);
});

test.for<{ name: string; one: Partial<Route> }>([
  { name: 'out of another device', one: { oif: 9, mtu: 1000 } },
  { name: 'that takes all packets of the tunnel', one: { mtu: 1500 } },
  { name: 'of IPv6', one: { family: 6, mtu: 1280 } },
])('a route $name does not matter', ({ one }) => {
  expect(outerOf({ ...usual, routes: [{ ...route, ...one }] }, flannel)).toMatchObject({ underlay: eth0 });
});

test('where routes have several next hops the programs look up the route of each packet', () => {
  const spread = { ...route, hops: [{ oif: UNDERLAY, flags: 0, weight: 1 }] };
  expect(outerOf({ ...usual, routes: [spread] }, flannel)).toMatchObject({ settings: { keepWayNs: 0 } });
});

test('a MAC’s address comes from its only permanent IPv4 entry', () => {
  const entry = (last: number, parts: Partial<FdbEntry> = {}): FdbEntry => ({
    ...{ index: TUNNEL, mac: parseMac(`02:00:00:00:02:0${last}`), destination: parseIp(`192.168.7.${last}`) },
    ...{ state: NUD_PERMANENT, flags: 2 },
    ...parts,
  });
  const { destination: _, ...without } = entry(8);
  const fdb = [
    ...[entry(1), entry(2, { index: 9 }), entry(3, { state: 2 }), entry(4, { port: 4789 }), entry(5, { vni: 9 })],
    ...[
      entry(6),
      entry(6, { destination: parseIp('192.168.7.66') }),
      entry(7, { destination: parseIp('fd00::7') }),
      without,
    ],
  ];
  expect([...outerAddresses(fdb, TUNNEL)].map(([at, ip]) => `${at} ${formatIp(ip)}`)).toEqual([
    '02:00:00:00:02:01 192.168.7.1',
  ]);
});
