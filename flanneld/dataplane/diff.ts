// The changes that turn what the kernel carries into what it should: a pure function. On our device every permanent
// neighbour and FDB entry and every route of the main table is ours, whoever made it; of nexthop objects those with
// our protocol number in the reserved range.

import { formatIp, formatPrefix, sameIp } from '../../lib/ip.ts';
import {
  NTF_EXT_LEARNED,
  NUD_NOARP,
  NUD_PERMANENT,
  RT_TABLE_MAIN,
  RTN_UNICAST,
  RTNH_F_ONLINK,
  RTPROT_KERNEL,
} from '../../lib/rtnetlink/constants.ts';
import type { FdbEntry } from '../../lib/rtnetlink/fdb.ts';
import type { Neigh } from '../../lib/rtnetlink/neigh.ts';
import type { Nexthop } from '../../lib/rtnetlink/nexthop.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';
import { isReservedNexthopId } from './nexthop-ids.ts';
import { type Change, type Device, type Observed, type PlacedPeer, routeKey, WEFT_PROTOCOL } from './state.ts';

/** The metric the kernel gives to an IPv6 route that asks for none (linux/ipv6_route.h IP6_RT_PRIO_USER). */
const IP6_DEFAULT_METRIC = 1024;

/**
 * Everything to be done, in order: additions peer by peer (neighbour, FDB entry, nexthop, route: the route last, or
 * the kernel would ask who has the gateway), then removals (routes, nexthops, FDB entries, neighbours), so that
 * nothing wanted is missing in between. Empty when the kernel already agrees.
 */
export function diff(peers: readonly PlacedPeer[], observed: Observed): Change[] {
  const present = presentIn(observed);
  const additions: Change[] = [];
  for (const peer of peers) {
    addNeigh(peer, present, additions);
    if (peer.hasFdb) addFdb(peer, present, additions);
    if (peer.nexthopId !== undefined) addNexthop(peer, peer.nexthopId, present, additions);
    addRoute(peer, present, additions);
  }
  const moves = additions.some(({ kind, have }) => kind === 'nexthop' && have !== undefined);
  return [...(moves ? movesFirst(grouped(additions)) : additions), ...removals(peers, observed, present)];
}

/** Ids in the reserved range that we must not use: held with another protocol number or for another device. */
export function foreignNexthopIds(observed: Observed): ReadonlySet<number> | undefined {
  if (observed.nexthops === undefined) return undefined;
  const foreign = new Set<number>();
  for (const nexthop of observed.nexthops) {
    if (isReservedNexthopId(nexthop.id) && !isOurNexthop(nexthop, observed.device)) foreign.add(nexthop.id);
  }
  return foreign;
}

/** Names of what is removed begin like this; no lease key does. */
const LEFTOVER = 'leftover ';

export function isLeftover(owner: string): boolean {
  return owner.startsWith(LEFTOVER);
}

/** What the kernel has, by key. What a peer wants is taken out: in the end the rest is wanted by nobody. */
interface Present {
  readonly neighs: Map<bigint, Neigh>;
  readonly fdb: Map<string, FdbEntry>;
  /** Ours only. */
  readonly nexthops: Map<number, Nexthop>;
  /** Those that can be a peer's; the odd ones (of another metric) can be nobody's. */
  readonly routes: Map<bigint, Route>;
  readonly oddRoutes: Route[];
}

function presentIn({ device, neighs, fdb, nexthops, routes }: Observed): Present {
  const present: Present = { neighs: new Map(), fdb: new Map(), nexthops: new Map(), routes: new Map(), oddRoutes: [] };
  for (const have of neighs) present.neighs.set(have.destination.value, have);
  // Of a MAC with several entries, which is none of a peer's, one that lasts.
  for (const have of fdb) if (lasts(have) || !present.fdb.has(have.mac)) present.fdb.set(have.mac, have);
  for (const have of nexthops ?? []) if (isOurNexthop(have, device)) present.nexthops.set(have.id, have);
  for (const have of routes) if (isJudged(have)) noteRoute(have, present);
  return present;
}

function noteRoute(have: Route, { routes, oddRoutes }: Present): void {
  const key = routeKey(have.destination);
  if (hasDefaultMetric(have) && !routes.has(key)) routes.set(key, have);
  else oddRoutes.push(have);
}

function take<K, V>(from: Map<K, V>, key: K): V | undefined {
  const have = from.get(key);
  if (have !== undefined) from.delete(key);
  return have;
}

function grouped(changes: readonly Change[]): Map<string, Change[]> {
  const groups = new Map<string, Change[]>();
  for (const change of changes) {
    const group = groups.get(change.owner);
    if (group === undefined) groups.set(change.owner, [change]);
    else group.push(change);
  }
  return groups;
}

/**
 * A nexthop that is to lead elsewhere takes the routes that still use it along: whoever moves away from it comes
 * first. It happens where subnets of several sizes compete for one id.
 */
function movesFirst(groups: ReadonlyMap<string, Change[]>): Change[] {
  const movers = moversById(groups);
  const ordered = new Set<Change[]>();
  const visiting = new Set<Change[]>();
  const visit = (group: Change[]): void => {
    // Two that wait for each other: then either is as good.
    if (ordered.has(group) || visiting.has(group)) return;
    visiting.add(group);
    for (const { kind, have } of group) {
      if (kind !== 'nexthop' || have === undefined) continue;
      for (const owner of movers.get(have.id) ?? []) visit(groups.get(owner) ?? []);
    }
    ordered.add(group);
  };
  for (const group of groups.values()) visit(group);
  return [...ordered].flat();
}

/** For each nexthop id: the owners of the routes that lead over it now and are to lead over another. */
function moversById(groups: ReadonlyMap<string, Change[]>): Map<number, string[]> {
  const movers = new Map<number, string[]>();
  for (const { kind, owner, have } of [...groups.values()].flat()) {
    if (kind !== 'route' || have?.nexthopId === undefined) continue;
    movers.set(have.nexthopId, [...(movers.get(have.nexthopId) ?? []), owner]);
  }
  return movers;
}

function addNeigh({ key: owner, subnet, mac }: PlacedPeer, { neighs }: Present, changes: Change[]): void {
  const have = take(neighs, subnet.ip.value);
  if (have !== undefined && (have.state & NUD_PERMANENT) !== 0 && have.mac === mac) return;
  changes.push({ kind: 'neigh', owner, want: { owner, destination: subnet.ip, mac }, have });
}

/** A unicast MAC has one destination: replacing it is all a wanted MAC ever needs, and any other that lasts goes. */
function addFdb({ key: owner, mac, publicIp: destination }: PlacedPeer, { fdb }: Present, changes: Change[]): void {
  const have = take(fdb, mac);
  if (have?.destination !== undefined && sameIp(have.destination, destination) && isPlain(have)) return;
  changes.push({ kind: 'fdb', owner, want: { owner, mac, destination }, have });
}

function isPlain({ state, port, vni, nexthopId }: FdbEntry): boolean {
  return (state & NUD_PERMANENT) !== 0 && port === undefined && vni === undefined && nexthopId === undefined;
}

function addNexthop({ key: owner, subnet }: PlacedPeer, id: number, { nexthops }: Present, changes: Change[]): void {
  const have = take(nexthops, id);
  const gateway = subnet.ip;
  if (have?.gateway !== undefined && sameIp(have.gateway, gateway) && isOnlink(have.flags)) return;
  changes.push({ kind: 'nexthop', owner, want: { owner, id, gateway }, have });
}

function isOnlink(flags: number): boolean {
  return (flags & RTNH_F_ONLINK) !== 0;
}

function addRoute(peer: PlacedPeer, { routes }: Present, changes: Change[]): void {
  const { key: owner, subnet: destination, nexthopId } = peer;
  const have = take(routes, routeKey(destination));
  if (have !== undefined && isRightRoute(have, peer)) return;
  const gateway = destination.ip;
  const want = nexthopId === undefined ? { owner, destination, gateway } : { owner, destination, gateway, nexthopId };
  changes.push({ kind: 'route', owner, want, have });
}

function isRightRoute(have: Route, { subnet, nexthopId }: PlacedPeer): boolean {
  if (have.protocol !== WEFT_PROTOCOL || have.type !== RTN_UNICAST || have.nexthopId !== nexthopId) return false;
  if (have.prefSrc !== undefined || have.mtu !== undefined) return false;
  if (nexthopId !== undefined) return true;
  return have.gateway !== undefined && sameIp(have.gateway, subnet.ip) && isOnlink(have.flags);
}

function isOurNexthop(nexthop: Nexthop, device: Device): boolean {
  return nexthop.protocol === WEFT_PROTOCOL && nexthop.oif === device.index && isReservedNexthopId(nexthop.id);
}

/** Whether the agent may judge a route of its device: the kernel's own and other tables' are somebody else's. */
function isJudged(route: Route): boolean {
  return route.table === RT_TABLE_MAIN && route.protocol !== RTPROT_KERNEL;
}

/** Whether it has the metric of a route that asks for none. */
export function hasDefaultMetric(route: Route): boolean {
  const metric = route.priority ?? 0;
  return metric === 0 || (route.family === 6 && metric === IP6_DEFAULT_METRIC);
}

/** What is left over, of what is ours. */
function removals(peers: readonly PlacedPeer[], observed: Observed, left: Present): Change[] {
  const changes: Change[] = [];
  for (const have of [...left.oddRoutes, ...left.routes.values()]) {
    changes.push({ kind: 'route', owner: `${LEFTOVER}route ${formatPrefix(have.destination)}`, have });
  }
  if (left.nexthops.size > 0) {
    const users = routeUsers(peers, observed);
    for (const have of left.nexthops.values()) {
      // The kernel drops a nexthop's routes with it: a route that is to move away must have moved.
      const after = users.get(have.id);
      const owner = `${LEFTOVER}nexthop ${have.id}`;
      changes.push({ kind: 'nexthop', owner, have, ...(after !== undefined && { after }) });
    }
  }
  for (const have of left.fdb.values()) {
    if (lasts(have)) changes.push({ kind: 'fdb', owner: `${LEFTOVER}fdb ${have.mac}`, have });
  }
  for (const have of left.neighs.values()) {
    if ((have.state & NUD_PERMANENT) === 0) continue;
    changes.push({ kind: 'neigh', owner: `${LEFTOVER}neigh ${formatIp(have.destination)}`, have });
  }
  return changes;
}

/** Learned entries (only with Learning on) age by themselves; entries that last are ours. */
function lasts(entry: FdbEntry): boolean {
  return (entry.state & (NUD_PERMANENT | NUD_NOARP)) !== 0 || (entry.flags & NTF_EXT_LEARNED) !== 0;
}

/** For each nexthop id in use by a peer's route as it is now: that peer. */
function routeUsers(peers: readonly PlacedPeer[], observed: Observed): Map<number, string> {
  const owners = new Map(peers.map(({ key, subnet }) => [routeKey(subnet), key]));
  const users = new Map<number, string>();
  for (const { nexthopId, destination } of observed.routes) {
    const owner = nexthopId === undefined ? undefined : owners.get(routeKey(destination));
    if (nexthopId !== undefined && owner !== undefined) users.set(nexthopId, owner);
  }
  return users;
}
