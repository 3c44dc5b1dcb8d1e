import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatPrefix, parseIp, parsePrefix, samePrefix } from '../../lib/ip.ts';
import { RT_TABLE_MAIN, RTN_BLACKHOLE, RTN_UNICAST } from '../../lib/rtnetlink/constants.ts';
import { type Route, spellRoute } from '../../lib/rtnetlink/route.ts';
import { type DirectWanted, diffDirect } from './direct-routes.ts';
import type { RoutePeer } from './route-peer.ts';
import { routeKey, WEFT_PROTOCOL } from './state.ts';

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

function diff(table: readonly Route[], over: Partial<DirectWanted> = {}) {
  const wanted = { network: parsePrefix('10.244.0.0/16'), peers: [two], moving: new Set<bigint>(), had: () => false };
  let asked = 0;
  const others = (): readonly Route[] => {
    asked++;
    return table;
  };
  const own = table.filter(({ protocol }) => protocol === WEFT_PROTOCOL);
  const isTunnel = (index: number): boolean => index === TUNNEL;
  const { changes, held } = diffDirect({ ...wanted, ...over }, { device, isTunnel, ours: own, others });
  const shown = changes.map(({ want, have, owner }) =>
    want === undefined ? `- ${have && spellRoute(have)}` : `${have === undefined ? '+' : '~'} ${owner}`,
  );
  return { shown, held: [...held], asked };
}

describe('diffDirect', () => {
  test.for<{ name: string; table: Route[]; over?: Partial<DirectWanted>; want: string[] }>([
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
      over: { had: () => true },
      want: ['~ two'],
    },
    {
      name: 'adds beside a stranger’s of another metric',
      table: [route('10.244.2.0/24', '192.168.50.13', { priority: 100 })],
      want: ['+ two'],
    },
    {
      name: 'removes ours of nobody, also on another interface',
      table: [route('10.244.3.0/24', '192.168.50.13', { ...ours, oif: 5 })],
      over: { peers: [] },
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
      name: 'keeps one that is to move',
      table: [route('10.244.3.0/24', '192.168.50.13', ours)],
      over: { peers: [], moving: new Set([routeKey(parsePrefix('10.244.3.0/24'))]) },
      want: [],
    },
    {
      name: 'leaves what is of another network, of a tunnel or a blackhole',
      table: [
        route('10.99.3.0/24', '192.168.50.13', ours),
        route('10.244.3.0/24', '10.244.3.0', { ...ours, oif: TUNNEL }),
        route('10.244.4.0/24', '0.0.0.0', { ...ours, type: RTN_BLACKHOLE }),
      ],
      over: { peers: [] },
      want: [],
    },
  ])('$name', ({ table, over, want }) => {
    expect(diff(table, over).shown).toEqual(want);
  });

  test('names who holds a place, and looks at strangers only when something is wrong', () => {
    const stranger = route('10.244.2.0/24', '192.168.50.13', { protocol: 4 });
    expect(diff([stranger]).held).toEqual([['two', '10.244.2.0/24 via 192.168.50.13 dev if2 proto 4']]);
    expect(diff([route('10.244.2.0/24', '192.168.50.12', ours)]).asked).toBe(0);
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
  const network = parsePrefix('10.244.0.0/16');
  const isTunnel = (index: number): boolean => index === TUNNEL;

  function look(table: Table, peers: readonly RoutePeer[]) {
    const own = [...table.values()].filter(({ protocol }) => protocol === WEFT_PROTOCOL);
    const wanted = { network, peers, moving: new Set<bigint>(), had: () => false };
    return diffDirect(wanted, { device, isTunnel, ours: own, others: () => [...table.values()] });
  }

  function apply(table: Table, peers: readonly RoutePeer[]): void {
    for (const { want, have } of look(table, peers).changes) {
      if (want === undefined) table.delete(have === undefined ? '' : slot(have));
      else {
        const made = { ...route(formatPrefix(want.destination), '0.0.0.0', ours), gateway: want.gateway };
        table.set(slot(made), made);
      }
    }
  }

  test('needs one pass', () => {
    fc.assert(
      fc.property(anyTable, anyPeers, (table, peers) => {
        apply(table, peers);
        expect(look(table, peers).changes).toEqual([]);
      }),
    );
  });

  test('ends with every peer routed, or named with who has its route', () => {
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

  test('keeps its hands off what strangers made, but for flannel’s form of a peer’s route', () => {
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
