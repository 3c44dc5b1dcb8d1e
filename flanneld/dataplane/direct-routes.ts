// Routes to peers that lie on the external interface's own link: what must change, as a pure function. That interface
// is not ours, so only what carries our protocol number is, and flannel's own form of the same route; a route that
// somebody else has for a peer's subnet is left alone, unless it was put in the place of one of ours.

import { containsPrefix, formatPrefix, type IpPrefix, sameIp } from '../../lib/ip.ts';
import { RT_TABLE_MAIN, RTN_UNICAST, RTNH_F_ONLINK } from '../../lib/rtnetlink/constants.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';
import { spellRoute } from '../../lib/rtnetlink/route.ts';
import type { RoutePeer } from './route-peer.ts';
import { type Change, type Device, routeKey, WEFT_PROTOCOL } from './state.ts';

/** The metric the kernel gives to an IPv6 route that asks for none (linux/ipv6_route.h IP6_RT_PRIO_USER). */
const IP6_DEFAULT_METRIC = 1024;

export interface DirectWanted {
  readonly network: IpPrefix;
  readonly peers: readonly RoutePeer[];
  /** Destinations (routeKey) that get another route in the same run: replaced there, not removed here. */
  readonly moving: ReadonlySet<bigint>;
  /** Whether a peer's route was in the kernel before: then whatever is there now has taken its place. */
  had(key: string): boolean;
}

export interface DirectObserved {
  /** The external interface. */
  readonly device: Device;
  /** Whether the device of this index is a VXLAN device of flannel's name, on which every route is an agent's. */
  isTunnel(index: number): boolean;
  /** Routes of the main table with our protocol number. */
  readonly ours: readonly Route[];
  /** All of the main table; asked for only when one of ours is not as it should be. */
  others(): readonly Route[];
}

export interface DirectDiff {
  /** Additions and replacements, then removals. */
  readonly changes: readonly Extract<Change, { kind: 'route' }>[];
  /** By key of the peer: who has its route. */
  readonly held: ReadonlyMap<string, string>;
}

export function diffDirect(wanted: DirectWanted, observed: DirectObserved): DirectDiff {
  const ours = observed.ours.filter((route) => isDirect(route, wanted, observed));
  const present = new Map<bigint, Route>();
  for (const route of ours) if (hasDefaultMetric(route)) present.set(routeKey(route.destination), route);
  const keys = new Set<bigint>();
  const wrong: RoutePeer[] = [];
  for (const peer of wanted.peers) {
    const key = routeKey(peer.subnet);
    keys.add(key);
    if (!isRight(present.get(key), peer, observed.device)) wrong.push(peer);
  }
  const removals = ours.filter((route) => {
    const key = routeKey(route.destination);
    return present.get(key) !== route || (!keys.has(key) && !wanted.moving.has(key));
  });
  const { additions, held } = place(wrong, wanted, observed);
  const leftovers = removals.map((have) => ({
    kind: 'route' as const,
    owner: `leftover route ${formatPrefix(have.destination)}`,
    have,
  }));
  return { changes: [...additions, ...leftovers], held };
}

/** One of ours outside the tunnels. Blackholes and routes of another network's agent are judged elsewhere. */
function isDirect(route: Route, { network }: DirectWanted, { device, isTunnel }: DirectObserved): boolean {
  if (route.protocol !== WEFT_PROTOCOL || route.type !== RTN_UNICAST || route.table !== RT_TABLE_MAIN) return false;
  if (route.oif !== undefined && route.oif !== device.index && isTunnel(route.oif)) return false;
  return containsPrefix(network, route.destination);
}

function hasDefaultMetric({ priority = 0, family }: Route): boolean {
  return priority === 0 || (family === 6 && priority === IP6_DEFAULT_METRIC);
}

function isRight(have: Route | undefined, peer: RoutePeer, device: Device): boolean {
  if (have === undefined || !isSameHop(have, peer, device)) return false;
  return have.prefSrc === undefined && have.mtu === undefined && (have.flags & RTNH_F_ONLINK) === 0;
}

function isSameHop(have: Route, peer: RoutePeer, device: Device): boolean {
  if (have.type !== RTN_UNICAST || have.nexthopId !== undefined || have.oif !== device.index) return false;
  return have.gateway !== undefined && sameIp(have.gateway, peer.publicIp);
}

function place(
  peers: readonly RoutePeer[],
  wanted: DirectWanted,
  { device, isTunnel, others }: DirectObserved,
): { additions: Extract<Change, { kind: 'route' }>[]; held: Map<string, string> } {
  const held = new Map<string, string>();
  if (peers.length === 0) return { additions: [], held };
  const holders = new Map<bigint, Route>();
  for (const route of others()) {
    if (route.table === RT_TABLE_MAIN && hasDefaultMetric(route)) holders.set(routeKey(route.destination), route);
  }
  const mayReplace = (have: Route, peer: RoutePeer): boolean =>
    have.protocol === WEFT_PROTOCOL ||
    (have.oif !== undefined && isTunnel(have.oif)) ||
    isSameHop(have, peer, device) ||
    wanted.had(peer.key);
  const additions: Extract<Change, { kind: 'route' }>[] = [];
  for (const peer of peers) {
    const have = holders.get(routeKey(peer.subnet));
    if (have !== undefined && !mayReplace(have, peer)) {
      held.set(peer.key, `${spellRoute({ ...have, flags: 0 })} proto ${have.protocol}`);
      continue;
    }
    const { key: owner, subnet: destination, publicIp: gateway } = peer;
    additions.push({
      kind: 'route',
      owner,
      want: { owner, destination, gateway, direct: true },
      ...(have && { have }),
    });
  }
  return { additions, held };
}
