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
import {
  type Change,
  type Device,
  type KernelState,
  neighKey,
  type Observed,
  type RouteState,
  routeKey,
  WEFT_PROTOCOL,
} from './state.ts';

/** The metric the kernel gives to an IPv6 route that asks for none (linux/ipv6_route.h IP6_RT_PRIO_USER). */
const IP6_DEFAULT_METRIC = 1024;

/**
 * Everything to be done, in order: additions peer by peer (neighbour, FDB entry, nexthop, route: the route last, or
 * the kernel would ask who has the gateway), then removals (routes, nexthops, FDB entries, neighbours), so that
 * nothing wanted is missing in between. Empty when the kernel already agrees.
 */
export function diff(wanted: KernelState, observed: Observed): Change[] {
  const neighs = diffNeighs(wanted, observed);
  const fdb = diffFdb(wanted, observed);
  const nexthops = diffNexthops(wanted, observed);
  const routes = diffRoutes(wanted, observed);
  const additions = byOwner([...neighs.add, ...fdb.add, ...nexthops.add, ...routes.add]);
  return [...additions, ...routes.remove, ...nexthops.remove, ...fdb.remove, ...neighs.remove];
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

interface Split {
  readonly add: Change[];
  readonly remove: Change[];
}

/** Stable: owners by their first change, and within one the order stays, so neighbour, FDB entry, nexthop, route. */
function byOwner(changes: readonly Change[]): Change[] {
  if (changes.some(({ kind, have }) => kind === 'nexthop' && have !== undefined)) return movesFirst(grouped(changes));
  // Sorted by counting: an array for each of thousands of owners would cost more than all the rest of the comparing.
  const ranks = new Map<string, number>();
  const rankOf = new Uint32Array(changes.length);
  const places = new Uint32Array(changes.length + 1);
  let at = 0;
  for (const { owner } of changes) {
    let rank = ranks.get(owner);
    if (rank === undefined) {
      rank = ranks.size;
      ranks.set(owner, rank);
    }
    rankOf[at++] = rank;
    places[rank + 1] = (places[rank + 1] ?? 0) + 1;
  }
  for (let rank = 1; rank < ranks.size; rank++) places[rank] = (places[rank] ?? 0) + (places[rank - 1] ?? 0);
  const ordered = [...changes];
  at = 0;
  for (const change of changes) {
    const rank = rankOf[at++] ?? 0;
    const place = places[rank] ?? 0;
    ordered[place] = change;
    places[rank] = place + 1;
  }
  return ordered;
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

function diffNeighs(wanted: KernelState, observed: Observed): Split {
  const present = new Map<bigint, Neigh>();
  const split: Split = { add: [], remove: [] };
  for (const have of observed.neighs) {
    const key = neighKey(have.destination);
    present.set(key, have);
    if ((have.state & NUD_PERMANENT) !== 0 && !wanted.neighs.has(key)) {
      split.remove.push({ kind: 'neigh', owner: `${LEFTOVER}neigh ${formatIp(have.destination)}`, have });
    }
  }
  for (const [key, want] of wanted.neighs) {
    const have = present.get(key);
    if (have !== undefined && (have.state & NUD_PERMANENT) !== 0 && have.mac === want.mac) continue;
    split.add.push({ kind: 'neigh', owner: want.owner, want, have });
  }
  return split;
}

/** Learned entries (only with Learning on) age by themselves; entries that last are ours. */
function lasts(entry: FdbEntry): boolean {
  return (entry.state & (NUD_PERMANENT | NUD_NOARP)) !== 0 || (entry.flags & NTF_EXT_LEARNED) !== 0;
}

/** A unicast MAC has one destination: replacing it is all a wanted MAC ever needs, and any other that lasts goes. */
function diffFdb(wanted: KernelState, observed: Observed): Split {
  const present = new Map<string, FdbEntry>();
  const split: Split = { add: [], remove: [] };
  for (const have of observed.fdb) {
    if (wanted.fdb.has(have.mac)) present.set(have.mac, have);
    else if (lasts(have)) split.remove.push({ kind: 'fdb', owner: `${LEFTOVER}fdb ${have.mac}`, have });
  }
  for (const [mac, want] of wanted.fdb) {
    const have = present.get(mac);
    const right = have?.destination !== undefined && sameIp(have.destination, want.destination) && isPlain(have);
    if (!right) split.add.push({ kind: 'fdb', owner: want.owner, want, have });
  }
  return split;
}

function isPlain({ state, port, vni, nexthopId }: FdbEntry): boolean {
  return (state & NUD_PERMANENT) !== 0 && port === undefined && vni === undefined && nexthopId === undefined;
}

function isOurNexthop(nexthop: Nexthop, device: Device): boolean {
  return nexthop.protocol === WEFT_PROTOCOL && nexthop.oif === device.index && isReservedNexthopId(nexthop.id);
}

function diffNexthops(wanted: KernelState, observed: Observed): Split {
  const present = new Map<number, Nexthop>();
  const split: Split = { add: [], remove: [] };
  const users = routeUsers(wanted, observed);
  for (const have of observed.nexthops ?? []) {
    if (!isOurNexthop(have, observed.device)) continue;
    present.set(have.id, have);
    if (wanted.nexthops.has(have.id)) continue;
    // The kernel drops a nexthop's routes with it: a route that is to move away must have moved.
    const after = users.get(have.id);
    const owner = `${LEFTOVER}nexthop ${have.id}`;
    split.remove.push({ kind: 'nexthop', owner, have, ...(after !== undefined && { after }) });
  }
  for (const [id, want] of wanted.nexthops) {
    const have = present.get(id);
    const right = have?.gateway !== undefined && sameIp(have.gateway, want.gateway) && isOnlink(have.flags);
    if (!right) split.add.push({ kind: 'nexthop', owner: want.owner, want, have });
  }
  return split;
}

/** For each nexthop id in use by a wanted route's present form: the lease that route is for. */
function routeUsers(wanted: KernelState, observed: Observed): Map<number, string> {
  const users = new Map<number, string>();
  for (const route of observed.routes) {
    if (route.nexthopId === undefined) continue;
    const want = wanted.routes.get(routeKey(route.destination));
    if (want !== undefined) users.set(route.nexthopId, want.owner);
  }
  return users;
}

function isOnlink(flags: number): boolean {
  return (flags & RTNH_F_ONLINK) !== 0;
}

/** Whether the agent may judge a route of its device: the kernel's own and other tables' are somebody else's. */
function isJudged(route: Route): boolean {
  return route.table === RT_TABLE_MAIN && route.protocol !== RTPROT_KERNEL;
}

function hasDefaultMetric(route: Route): boolean {
  const metric = route.priority ?? 0;
  return metric === 0 || (route.family === 6 && metric === IP6_DEFAULT_METRIC);
}

function diffRoutes(wanted: KernelState, observed: Observed): Split {
  const present = new Map<bigint, Route>();
  const split: Split = { add: [], remove: [] };
  for (const have of observed.routes) {
    if (!isJudged(have)) continue;
    const key = routeKey(have.destination);
    if (wanted.routes.has(key) && hasDefaultMetric(have) && !present.has(key)) present.set(key, have);
    else split.remove.push({ kind: 'route', owner: `${LEFTOVER}route ${formatPrefix(have.destination)}`, have });
  }
  for (const [key, want] of wanted.routes) {
    const have = present.get(key);
    if (have !== undefined && isRightRoute(have, want)) continue;
    split.add.push({ kind: 'route', owner: want.owner, want, have });
  }
  return split;
}

function isRightRoute(have: Route, want: RouteState): boolean {
  if (have.protocol !== WEFT_PROTOCOL || have.type !== RTN_UNICAST || have.nexthopId !== want.nexthopId) return false;
  if (have.prefSrc !== undefined || have.mtu !== undefined) return false;
  if (want.nexthopId !== undefined) return true;
  return have.gateway !== undefined && sameIp(have.gateway, want.gateway) && isOnlink(have.flags);
}
