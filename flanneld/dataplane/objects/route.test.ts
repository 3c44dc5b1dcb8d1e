import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatPrefix, parseIp, parsePrefix, samePrefix } from '../../../lib/ip.ts';
import { type Route, spellRoute } from '../../../lib/rtnetlink/route.ts';
import { RT_TABLE_MAIN, RTN_BLACKHOLE, RTN_UNICAST } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { type OwnedChange, wholeCompare } from '../../../test/support/whole-compare.ts';
import type { RoutePeer } from '../../backend/route-peer.ts';
import { keyOf } from '../plan.ts';
import { type Place, WEFT_PROTOCOL, wanted } from './kind.ts';
import { holdersIn, route as kind, spellHolder, type WantedRoute } from './route.ts';

const device = { index: 2, name: 'eth0' };
const TUNNEL = 7;
const ours = { protocol: WEFT_PROTOCOL };

function route(subnet: string, via: string, over: Partial<Route> = {}): Route {
  const destination = parsePrefix(subnet);
  const { family } = destination.ip;
  const fixed = { table: RT_TABLE_MAIN, protocol: 3, scope: 0, type: RTN_UNICAST, flags: 0, oif: device.index };
  return { family, destination, gateway: parseIp(via), ...fixed, ...over };
}

function peer(key: string, subnet: string, publicIp: string): RoutePeer {
  return { key, subnet: parsePrefix(subnet), publicIp: parseIp(publicIp) };
}

const two = peer('two', '10.244.2.0/24', '192.168.50.12');

const place: Place = {
  family: 4,
  network: parsePrefix('10.244.0.0/16'),
  tunnel: undefined,
  underlay: device,
};
const isTunnel = (index: number): boolean => index === TUNNEL;
const directly = { kinds: [kind], objects: (each: RoutePeer) => [wanted(kind, wantedOf(each))] };

function wantedOf({ subnet: destination, publicIp: gateway }: RoutePeer): WantedRoute {
  return { destination, gateway, by: 'underlay' };
}

/** The routes that a mirror shows of a table: ours, except those that lead into another overlay's tunnel. */
function presentIn(table: readonly Route[]) {
  const ours = table.filter((one) => kind.isOurs(one, place) && !(one.oif !== undefined && isTunnel(one.oif)));
  const byKey = new Map(ours.map((one) => [kind.presentKey(one), one]));
  return { entries: () => byKey };
}

/** What a run would change in a table, and who has the places that it leaves alone. */
function compare(table: readonly Route[], peers: readonly RoutePeer[] = [two], hadAll = false) {
  const changes = wholeCompare(peers, directly, place, presentIn(table));
  const missing = changes.filter(({ want, have }) => want !== undefined && have === undefined);
  const wants = missing.map(({ want }) => want as WantedRoute);
  const holders = holdersIn(table, wants, place, isTunnel, () => hadAll);
  const held = new Map<string, string>();
  const made: OwnedChange[] = [];
  for (const change of changes) {
    const holder = missing.includes(change) ? holders.get(keyOf(change)) : undefined;
    if (holder === undefined) made.push(change);
    else if (holder.mayReplace) made.push({ ...change, have: holder.have });
    else held.set(change.owner, spellHolder(holder.have));
  }
  return { made, held, asked: wants.length };
}

function shown(changes: readonly OwnedChange[]): string[] {
  return changes.map(({ want, have, owner }) => {
    if (want === undefined) return `- ${spellRoute(have as Route)}`;
    return `${have === undefined ? '+' : '~'} ${owner}`;
  });
}

describe('a direct route', () => {
  test.for<{ name: string; table: Route[]; peers?: RoutePeer[]; had?: boolean; want: string[] }>([
    { name: 'adds what is missing', table: [], want: ['+ two'] },
    { name: 'keeps ours', table: [route('10.244.2.0/24', '192.168.50.12', ours)], want: [] },
    {
      name: 'replaces ours by another gateway',
      table: [route('10.244.2.0/24', '192.168.50.13', ours)],
      want: ['~ two'],
    },
    { name: 'takes flannel’s own form', table: [route('10.244.2.0/24', '192.168.50.12')], want: ['~ two'] },
    {
      name: 'takes a tunnel’s',
      table: [route('10.244.2.0/24', '10.244.2.0', { oif: TUNNEL, protocol: 3 })],
      want: ['~ two'],
    },
    { name: 'leaves a stranger’s', table: [route('10.244.2.0/24', '192.168.50.13')], want: [] },
    {
      name: 'takes back what a stranger has put in the place of ours',
      table: [route('10.244.2.0/24', '192.168.50.13')],
      had: true,
      want: ['~ two'],
    },
    {
      name: 'adds beside a stranger’s of another metric',
      table: [route('10.244.2.0/24', '192.168.50.13', { priority: 100 })],
      want: ['+ two'],
    },
    {
      name: 'removes our route to a subnet that no peer has, also on another interface',
      table: [route('10.244.3.0/24', '192.168.50.13', { ...ours, oif: 5 })],
      peers: [],
      want: ['- 10.244.3.0/24 via 192.168.50.13 dev if5'],
    },
    {
      name: 'removes one of ours with an odd metric',
      table: [
        route('10.244.2.0/24', '192.168.50.12', ours),
        route('10.244.2.0/24', '192.168.50.12', { ...ours, priority: 9 }),
      ],
      want: ['- 10.244.2.0/24 via 192.168.50.12 dev if2'],
    },
    {
      name: 'keeps routes of another network, of a tunnel, and blackholes',
      table: [
        route('10.99.3.0/24', '192.168.50.13', ours),
        route('10.244.3.0/24', '10.244.3.0', { ...ours, oif: TUNNEL }),
        route('10.244.4.0/24', '0.0.0.0', { ...ours, type: RTN_BLACKHOLE }),
      ],
      peers: [],
      want: [],
    },
  ])('$name', ({ table, peers, had, want }) => {
    expect(shown(compare(table, peers, had).made)).toEqual(want);
  });

  test('names the program that has the place of a route, and reads foreign routes only when something is wrong', () => {
    const stranger = route('10.244.2.0/24', '192.168.50.13', { protocol: 4 });
    expect([...compare([stranger]).held]).toEqual([['two', '10.244.2.0/24 via 192.168.50.13 dev if2 proto 4']]);
    expect(compare([route('10.244.2.0/24', '192.168.50.12', ours)]).asked).toBe(0);
  });
});

describe('any table', () => {
  const subnets = ['10.244.2.0/24', '10.244.3.0/24', '10.244.4.0/24'];
  const gateways = ['192.168.50.12', '192.168.50.13'];
  const anyRoute = fc.record({
    subnet: fc.constantFrom(...subnets, '10.99.0.0/24'),
    via: fc.constantFrom(...gateways),
    protocol: fc.constantFrom(3, 4, WEFT_PROTOCOL),
    oif: fc.constantFrom(2, 5, TUNNEL),
    priority: fc.constantFrom(undefined, 50),
  });
  const slot = (one: Route): string => `${formatPrefix(one.destination)} ${one.priority ?? 0}`;
  const anyTable = fc.array(anyRoute, { maxLength: 8 }).map((rows) => {
    const table = new Map<string, Route>();
    for (const { subnet, via, priority, ...rest } of rows) {
      const one = route(subnet, via, { ...rest, ...(priority !== undefined && { priority }) });
      table.set(slot(one), one);
    }
    return table;
  });
  const anyPeers = fc
    .uniqueArray(fc.constantFrom(...subnets))
    .chain((chosen) =>
      fc
        .array(fc.constantFrom(...gateways), { minLength: chosen.length, maxLength: chosen.length })
        .map((vias) => chosen.map((subnet, at) => peer(subnet, subnet, vias[at] ?? ''))),
    );

  type Table = Map<string, Route>;

  const look = (table: Table, peers: readonly RoutePeer[]) => compare([...table.values()], peers);

  function apply(table: Table, peers: readonly RoutePeer[]): void {
    for (const { want, have } of look(table, peers).made) {
      if (want === undefined) table.delete(slot(have as Route));
      else {
        const { destination, gateway } = want as WantedRoute;
        const one = { ...route(formatPrefix(destination), '0.0.0.0', ours), gateway };
        table.set(slot(one), one);
      }
    }
  }

  test('is right after one pass', () => {
    fc.assert(
      fc.property(anyTable, anyPeers, (table, peers) => {
        apply(table, peers);
        expect(look(table, peers).made).toEqual([]);
      }),
    );
  });

  test('has a route to every peer, or names the program that has the place of the route', () => {
    fc.assert(
      fc.property(anyTable, anyPeers, (table, peers) => {
        apply(table, peers);
        const { held } = look(table, peers);
        for (const { key, subnet, publicIp } of peers) {
          const now = table.get(`${formatPrefix(subnet)} 0`);
          const isRouted = now?.protocol === WEFT_PROTOCOL && now.gateway?.value === publicIp.value;
          expect(isRouted).toBe(!held.has(key));
        }
      }),
    );
  });

  test('changes no foreign route except flannel’s form of a route to a peer', () => {
    fc.assert(
      fc.property(anyTable, anyPeers, (table, peers) => {
        const isFlannels = (one: Route): boolean =>
          one.oif === device.index &&
          peers.some(
            ({ subnet, publicIp }) => samePrefix(subnet, one.destination) && one.gateway?.value === publicIp.value,
          );
        const strangers = [...table.values()].filter(
          (one) => one.protocol !== WEFT_PROTOCOL && one.oif !== TUNNEL && !isFlannels(one),
        );
        apply(table, peers);
        for (const one of strangers) expect(table.get(slot(one))).toBe(one);
      }),
    );
  });
});

describe('a route that changes between tunnel and link', () => {
  const tunnel = { index: TUNNEL, name: 'flannel.1' };
  const change = (family: 4 | 6, have: Route, by: 'tunnel' | 'underlay') => {
    const at: Place = { ...place, family, network: parsePrefix(family === 4 ? '10.244.0.0/16' : 'fd00::/48'), tunnel };
    const gateway = have.destination.ip;
    const objects = () => [wanted(kind, { destination: have.destination, gateway, by })];
    const present = { entries: () => [[kind.presentKey(have), have] as [bigint, Route]] };
    return shown(wholeCompare([{ key: 'two' }], { kinds: [kind], objects }, at, present));
  };

  test('is replaced in its place', () => {
    expect(change(4, route('10.244.2.0/24', '192.168.50.12', ours), 'tunnel')).toEqual(['~ two']);
    expect(change(4, route('10.244.2.0/24', '10.244.2.0', { ...ours, oif: TUNNEL }), 'underlay')).toEqual(['~ two']);
  });

  test('must be removed first for IPv6, where the kernel refuses a gateway that another route leads to', () => {
    const direct = route('fd00:0:0:2::/64', 'fe80::2', ours);
    expect(change(6, direct, 'tunnel')).toEqual(['- fd00:0:0:2::/64 via fe80::2 dev if2', '+ two']);
    const through = route('fd00:0:0:2::/64', 'fd00:0:0:2::', { ...ours, oif: TUNNEL });
    expect(change(6, through, 'underlay')).toEqual(['~ two']);
  });
});
