import { expect, test } from 'vitest';
import { formatIp, formatPrefix, parseIp, parsePrefix } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import type { CachedResult } from '../../lib/pods/cached-result.ts';
import type { Link } from '../../lib/rtnetlink/link.ts';
import type { Neigh } from '../../lib/rtnetlink/neigh.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';
import { IFF_UP, NUD_PERMANENT, RT_TABLE_MAIN } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Observed, Tunnel } from './observe.ts';
import { wantedFastPath } from './wanted.ts';

const NUD_STALE = 4;
const BRIDGE = 3;
const TUNNEL = 2;
const vtep = parseMac('02:00:00:00:01:01');
const peerVtep = parseMac('02:00:00:00:01:02');
const podMac = parseMac('0a:58:0a:f4:01:02');
const other = parseMac('0a:58:0a:f4:01:63');
const bridgeMac = parseMac('0a:58:0a:f4:01:01');

const link = (parts: Partial<Link> & { readonly index: number; readonly name: string }): Link => ({
  ...{ flags: IFF_UP, mtu: 1450, operState: 6 },
  ...parts,
});
const bridge = link({ index: BRIDGE, name: 'cni0', kind: 'bridge', mac: bridgeMac });
const flannel = link({ index: TUNNEL, name: 'flannel.1', kind: 'vxlan', mac: vtep });
const port = link({ index: 10, name: 'vethA', kind: 'veth', master: BRIDGE });
const result: CachedResult = {
  ...{ network: 'cbr0', containerId: 'c', ifname: 'eth0', netns: [] },
  ...{ hostInterfaces: ['cni0', 'vethA'], podMacs: [podMac], ips: ['10.244.1.2'] },
};
const neigh = (parts: Partial<Neigh>): Neigh => ({
  ...{ family: 4, index: TUNNEL, destination: parseIp('10.244.2.0'), mac: peerVtep, state: NUD_PERMANENT, flags: 0 },
  ...parts,
});
const route = (parts: Partial<Route>): Route => ({
  ...{ family: 4, destination: parsePrefix('10.244.2.0/24'), gateway: parseIp('10.244.2.0'), oif: TUNNEL },
  ...{ table: RT_TABLE_MAIN, protocol: 138, scope: 0, type: 1, flags: 4 },
  ...parts,
});
const usual: Observed = {
  links: [flannel, bridge, port],
  qdiscs: [{ index: 10, kind: 'noqueue' }],
  neighs: [neigh({})],
  routes: [route({})],
  results: [result],
  fdb: [],
  ttl: 64,
  sourcePorts: { first: 32_768, count: 28_231 },
};
const tunnel: Tunnel = {
  family: 4,
  subnet: parsePrefix('10.244.1.0/24'),
  ifindex: TUNNEL,
  dev: 'flannel.1',
  mtu: 1450,
};
const facts = { tunnels: [tunnel], bridge: 'cni0', network: 'cbr0', full: false };

function shown(observed: Observed) {
  const wanted = wantedFastPath(observed, facts);
  if (typeof wanted === 'string') return wanted;
  return {
    pods: wanted.pods.map(({ ip }) => formatIp(ip)),
    peers: wanted.peers.map(({ ip }) => formatIp(ip)),
    programs: wanted.links.map(({ dev, program }) => `${dev} ${program}`),
  };
}

const all = { pods: ['10.244.1.2'], peers: ['10.244.2.0'], programs: ['flannel.1 fromTunnel', 'vethA fromPod'] };
const noPod = { ...all, pods: [], programs: ['flannel.1 fromTunnel'] };
const noPeer = { ...all, peers: [] };

test('a pod and a peer have programs and entries', () => {
  expect(shown(usual)).toEqual(all);
  expect(wantedFastPath(usual, facts)).toMatchObject({
    pods: [{ entry: { ifindex: 10, podMac, bridgeMac } }],
    peers: [{ entry: { peerMac: peerVtep, ownMac: vtep } }],
    unknownPorts: [],
  });
});

test('the smallest MTU of the route counts', () => {
  const smaller = { ...usual, links: [flannel, bridge, { ...port, mtu: 1400 }] };
  const wanted = wantedFastPath(smaller, facts);
  if (typeof wanted === 'string') throw new Error(wanted);
  const settings = wanted.settings.get(4);
  expect(settings?.mtu).toBe(1400);
  expect(settings && formatPrefix(settings.subnet)).toBe('10.244.1.0/24');
});

test.for<{ name: string; change: Partial<Observed>; want: unknown }>([
  { name: 'no bridge', change: { links: [flannel] }, want: 'there is no bridge cni0 yet' },
  { name: 'a bridge that is down', change: { links: [flannel, { ...bridge, flags: 0 }] }, want: 'bridge cni0 is down' },
  {
    name: 'a bridge that filters VLANs',
    change: { links: [flannel, { ...bridge, vlanFiltering: true }] },
    want: 'bridge cni0 filters VLANs',
  },
  { name: 'no tunnel', change: { links: [bridge, port] }, want: 'flannel.1 is missing or down' },
])('$name means no fast path', ({ change, want }) => {
  expect(shown({ ...usual, ...change })).toEqual(want);
});

test.for<{ name: string; change: Partial<Observed>; want: unknown }>([
  { name: 'whose ADD is running', change: { results: [] }, want: noPod },
  { name: 'of another network', change: { results: [{ ...result, network: 'other' }] }, want: noPod },
  { name: 'whose device is gone', change: { links: [flannel, bridge] }, want: noPod },
  { name: 'on another bridge', change: { links: [flannel, bridge, { ...port, master: 99 }] }, want: noPod },
  {
    name: 'on an isolated port',
    change: { links: [flannel, bridge, { ...port, port: { isolated: true } }] },
    want: noPod,
  },
  { name: 'with a limited rate', change: { qdiscs: [{ index: 10, kind: 'tbf' }] }, want: noPod },
  { name: 'with a hook for filters', change: { qdiscs: [{ index: 10, kind: 'ingress' }] }, want: noPod },
  { name: 'outside of this node’s subnet', change: { results: [{ ...result, ips: ['10.9.9.9'] }] }, want: noPod },
  { name: 'with two devices', change: { results: [{ ...result, podMacs: [podMac, other] }] }, want: noPod },
  { name: 'with an unreadable MAC', change: { results: [{ ...result, podMacs: ['no mac'] }] }, want: noPod },
  {
    name: 'whose address the kernel knows at another MAC',
    change: {
      neighs: [neigh({}), neigh({ index: BRIDGE, destination: parseIp('10.244.1.2'), mac: other, state: NUD_STALE })],
    },
    want: { ...all, pods: [] },
  },
  {
    name: 'whose address another pod has, too',
    change: {
      links: [flannel, bridge, port, { ...port, index: 11, name: 'vethB' }],
      results: [result, { ...result, containerId: 'd', hostInterfaces: ['vethB'], podMacs: [other] }],
    },
    want: { ...all, pods: [], programs: [...all.programs, 'vethB fromPod'] },
  },
])('a pod $name is left out', ({ change, want }) => {
  expect(shown({ ...usual, ...change })).toEqual(want);
});

test.for<{ name: string; change: Partial<Observed> }>([
  { name: 'without a neighbour', change: { neighs: [] } },
  { name: 'whose neighbour was only learned', change: { neighs: [neigh({ state: NUD_STALE })] } },
  { name: 'reached over another device', change: { routes: [route({ oif: 7 })] } },
  { name: 'reached without a gateway', change: { routes: [{ ...route({}), gateway: parseIp('10.0.0.1') }] } },
  { name: 'in another routing table', change: { routes: [route({ table: 100 })] } },
  { name: 'with a second route', change: { routes: [route({}), route({ oif: 7, priority: 5 })] } },
  {
    name: 'of which a part goes elsewhere',
    change: { routes: [route({ destination: parsePrefix('10.244.2.9/32'), oif: 7 }), route({})] },
  },
  {
    name: 'of which a part goes elsewhere by another table',
    change: { routes: [route({}), route({ destination: parsePrefix('10.244.2.128/25'), table: 7 })] },
  },
  {
    name: 'with a subnet of another length',
    change: { routes: [route({ destination: parsePrefix('10.244.2.0/23') })] },
  },
  { name: 'in this node’s own subnet', change: { routes: [route({ destination: parsePrefix('10.244.1.0/24') })] } },
])('a peer $name is left out', ({ change }) => {
  expect(shown({ ...usual, ...change })).toEqual(noPeer);
});

test('a port that the runtime has not yet reported is named', () => {
  expect(wantedFastPath({ ...usual, results: [] }, facts)).toMatchObject({ unknownPorts: [10] });
});
