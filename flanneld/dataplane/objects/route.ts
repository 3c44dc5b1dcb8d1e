// Routes to peers' subnets in the main table, through the overlay's device or directly over the external interface. On the
// overlay's device every route except the kernel's own is ours, whoever made it. Elsewhere only routes with our protocol number
// are ours, and those that flannel would make for the same peer. Routes of others stay, unless one replaced a route of ours.

import { containsPrefix, formatPrefix, type Ip, type IpPrefix, sameIp, samePrefix } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError } from '../../../lib/netlink/request.ts';
import type { RtnetlinkEvent } from '../../../lib/rtnetlink/event.ts';
import { getLink, listLinks } from '../../../lib/rtnetlink/link.ts';
import {
  addRoute,
  deleteRoute,
  getRoute,
  listRoutes,
  type Route,
  replaceRoute,
  spellRoute,
} from '../../../lib/rtnetlink/route.ts';
import {
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTN_UNICAST,
  RTNH_F_ONLINK,
  RTPROT_KERNEL,
} from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import {
  type Device,
  type Holder,
  type ObjectKey,
  type ObjectKind,
  type Place,
  prefixKey,
  type Table,
  WEFT_PROTOCOL,
} from './kind.ts';

export interface WantedRoute {
  readonly destination: IpPrefix;
  readonly gateway: Ip;
  /** Through the overlay's device, or over the external interface with the gateway on its link. */
  readonly by: 'tunnel' | 'underlay';
  /** Absent when the kernel has no nexthop objects, and for routes over the external interface. */
  readonly nexthopId?: number;
}

/** The kernel's metric for an IPv6 route without one (linux/ipv6_route.h IP6_RT_PRIO_USER). */
const IP6_DEFAULT_METRIC = 1024;

function slotKey(destination: IpPrefix, metric: number): ObjectKey {
  const key = prefixKey(destination);
  return metric === 0 ? key : `${key} metric ${metric}`;
}

/** The metric; 0 for a route that was made without one. */
function metricOf({ priority = 0, family }: Route): number {
  return family === 6 && priority === IP6_DEFAULT_METRIC ? 0 : priority;
}

export const route: ObjectKind<WantedRoute, Route> = {
  name: 'route',
  wantedKey: ({ destination }) => slotKey(destination, 0),
  presentKey: keyOf,
  isRight,
  isOurs,
  list,
  asWanted,
  put,
  remove: (have, place) => deleteRoute(whichRoute(have), deviceName(have, place)),
  spell: ({ destination }) => `route ${formatPrefix(destination)}`,
  difference: (have) => `was ${spellHolder(have)}`,
  hear,
  deviceOf: (want, have, place) =>
    want === undefined ? have && deviceName(have, place) : (want.by === 'tunnel' ? place.tunnel : place.underlay)?.name,
  whatIsThere: (netlink, { destination }) => routeHolder(netlink, destination),
  standsOn: { kind: 'nexthop', key: ({ nexthopId }) => nexthopId },
  // IPv6 refuses a gateway, even onlink, if another route leads to its address by another device (net/ipv6/route.c
  // ip6_route_check_nh_onlink). Removing that route first loses a packet or two.
  mustGoFirst: (have, { by }, { family, tunnel }) => family === 6 && by === 'tunnel' && have.oif !== tunnel?.index,
  // Through the overlay's device the agent's own route always wins.
  mayBeHeld: ({ by }) => by === 'underlay',
  holders,
};

function keyOf(have: Route): ObjectKey {
  return slotKey(have.destination, metricOf(have));
}

/** `10.244.2.0/24 via 192.168.50.13 dev eth0 proto static`, as ip(8) shows it. */
export function spellHolder(have: Route, dev?: string): string {
  return `${spellRoute({ ...have, flags: 0 }, dev)} proto ${have.protocol}`;
}

function isRight(have: Route, want: WantedRoute, { tunnel, underlay }: Place): boolean {
  if (have.protocol !== WEFT_PROTOCOL || have.type !== RTN_UNICAST || have.nexthopId !== want.nexthopId) return false;
  if (have.prefSrc !== undefined || have.mtu !== undefined) return false;
  const isDirect = want.by === 'underlay';
  if (have.oif !== (isDirect ? underlay : tunnel)?.index) return false;
  if (want.nexthopId !== undefined) return true;
  return have.gateway !== undefined && sameIp(have.gateway, want.gateway) && isOnlink(have) !== isDirect;
}

function isOnlink({ flags }: Route): boolean {
  return (flags & RTNH_F_ONLINK) !== 0;
}

/** Blackhole routes, other tables' routes and routes to other networks are not handled here. */
function isOurs(have: Route, { tunnel, network }: Place): boolean {
  if (have.table !== RT_TABLE_MAIN) return false;
  if (tunnel !== undefined && leadsBy(have, tunnel)) return have.protocol !== RTPROT_KERNEL;
  return have.protocol === WEFT_PROTOCOL && have.type === RTN_UNICAST && containsPrefix(network, have.destination);
}

function leadsBy({ oif, hops }: Route, { index }: Device): boolean {
  return oif === index || hops?.some((hop) => hop.oif === index) === true;
}

function list(netlink: Netlink, place: Place, isFirst: boolean, mayOmit: (have: Route) => boolean): readonly Route[] {
  const { family, tunnel, underlay } = place;
  const filter = { family, table: RT_TABLE_MAIN };
  const isNotAsked = (have: Route): boolean => !isOurs(have, place) || mayOmit(have);
  const through = tunnel === undefined ? [] : listRoutes(netlink, { ...filter, oif: tunnel.index }, isNotAsked);
  // The first listing also finds leftovers on other interfaces; later ones need only the external interface.
  const where = isFirst ? {} : { oif: underlay.index };
  const ours = listRoutes(netlink, { ...filter, ...where, protocol: WEFT_PROTOCOL });
  const elsewhere = ours.filter((have) => tunnel === undefined || !leadsBy(have, tunnel));
  // Routes through another overlay's device belong to that overlay's agent.
  const isTunnel = tunnels(netlink, place);
  const here = ({ oif }: Route): boolean => oif === undefined || oif === underlay.index || !isTunnel(oif);
  return [...through, ...elsewhere.filter((have) => here(have) && isOurs(have, place))];
}

/** Returns a function that says whether a device is a tunnel of any backend. The kernel is asked once, at the first call. */
function tunnels(netlink: Netlink, { isTunnel = () => false }: Place): (index: number) => boolean {
  let known: ReadonlySet<number> | undefined;
  return (index) => {
    known ??= new Set(
      listLinks(netlink)
        .filter(isTunnel)
        .map((link) => link.index),
    );
    return known.has(index);
  };
}

function asWanted({ destination, gateway, by, nexthopId }: WantedRoute, { family, tunnel, underlay }: Place): Route {
  const isPlain = by === 'tunnel' && nexthopId === undefined;
  return {
    family,
    destination,
    gateway,
    oif: (by === 'tunnel' ? tunnel : underlay)?.index ?? 0,
    ...(nexthopId !== undefined && { nexthopId }),
    table: RT_TABLE_MAIN,
    protocol: WEFT_PROTOCOL,
    scope: RT_SCOPE_UNIVERSE,
    type: RTN_UNICAST,
    flags: isPlain ? RTNH_F_ONLINK : 0,
    ...(family === 6 && { priority: IP6_DEFAULT_METRIC }),
  };
}

function put(want: WantedRoute, have: Route | undefined, { tunnel, underlay }: Place) {
  const { destination, gateway, nexthopId, by } = want;
  const protocol = WEFT_PROTOCOL;
  if (nexthopId !== undefined) return replaceRoute({ destination, nexthopId, protocol }, tunnel?.name);
  if (by === 'tunnel') {
    const hop = { gateway, oif: tunnel?.index ?? 0, flags: RTNH_F_ONLINK };
    return replaceRoute({ destination, ...hop, protocol }, tunnel?.name);
  }
  // On the external interface a route is added, not replaced, where none was seen: another program may have made one meanwhile.
  const spec = { destination, gateway, oif: underlay.index, protocol };
  return (have === undefined ? addRoute : replaceRoute)(spec, underlay.name);
}

/** The fields that identify one route among several to the same destination. The kernel compares only the given ones. */
function whichRoute(have: Route): Parameters<typeof deleteRoute>[0] {
  const { destination, table, protocol, type, priority, nexthopId, gateway, oif } = have;
  const which = { destination, table, protocol, type, ...(priority !== undefined && { priority }) };
  if (nexthopId !== undefined) return { ...which, nexthopId };
  return { ...which, ...(gateway !== undefined && { gateway }), ...(oif !== undefined && { oif }) };
}

function deviceName({ oif }: Route, { tunnel, underlay }: Place): string | undefined {
  return [tunnel, underlay].find((device) => device?.index === oif)?.name;
}

function hear(event: RtnetlinkEvent, table: Table<Route>, place: Place): boolean {
  if (event.kind !== 'route' || event.object.family !== place.family) return true;
  const { object, removed, replaced } = event;
  if (object.table !== RT_TABLE_MAIN) return true;
  const key = keyOf(object);
  const present = table.get(key);
  if (!isOurs(object, place)) {
    // Somebody else's route has replaced one of ours. The kernel sends no other event about that.
    if (replaced && present !== undefined) table.delete(key);
    return true;
  }
  if (removed) {
    if (present === undefined || !sameHop(present, object)) return false;
    table.delete(key);
    return true;
  }
  // The kernel can have several routes with the same destination and metric; one event does not say enough then.
  if (present !== undefined && !replaced && !sameHop(present, object)) return false;
  table.set(key, object);
  return true;
}

function sameHop(a: Route, b: Route): boolean {
  if (a.oif !== b.oif || a.nexthopId !== b.nexthopId || a.protocol !== b.protocol || a.type !== b.type) return false;
  // The gateway of such a route is its nexthop's.
  if (a.nexthopId !== undefined) return true;
  return a.gateway === undefined || b.gateway === undefined ? a.gateway === b.gateway : sameIp(a.gateway, b.gateway);
}

/** Routes of others in the places of direct routes. */
function holders(
  netlink: Netlink,
  wants: readonly WantedRoute[],
  place: Place,
  had: (want: WantedRoute) => boolean,
): ReadonlyMap<ObjectKey, Holder<Route>> {
  const table = listRoutes(netlink, { family: place.family, table: RT_TABLE_MAIN });
  const judged = holdersIn(table, wants, place, tunnels(netlink, place), had);
  const spell = ({ have }: Omit<Holder<Route>, 'spelled'>): string => spellHolder(have, deviceName(have, place));
  return new Map([...judged].map(([key, holder]) => [key, { ...holder, spelled: spell(holder) }]));
}

/** Finds the routes in `table` that are in the places of `wants`, and says whether they may be replaced. */
export function holdersIn(
  table: readonly Route[],
  wants: readonly WantedRoute[],
  place: Place,
  isTunnel: (index: number) => boolean,
  had: (want: WantedRoute) => boolean,
): ReadonlyMap<ObjectKey, Omit<Holder<Route>, 'spelled'>> {
  const byKey = new Map(wants.map((want) => [route.wantedKey(want), want]));
  const found = new Map<ObjectKey, Omit<Holder<Route>, 'spelled'>>();
  for (const have of table) {
    const want = byKey.get(keyOf(have));
    if (want === undefined || have.table !== RT_TABLE_MAIN) continue;
    const isAgents = have.protocol === WEFT_PROTOCOL || (have.oif !== undefined && isTunnel(have.oif));
    found.set(keyOf(have), { have, mayReplace: isAgents || isFlannels(have, want, place) || had(want) });
  }
  return found;
}

/** Whether flannel would make this route for the same peer. */
function isFlannels(have: Route, { gateway }: WantedRoute, { underlay }: Place): boolean {
  if (have.type !== RTN_UNICAST || have.nexthopId !== undefined || have.oif !== underlay.index) return false;
  return have.gateway !== undefined && sameIp(have.gateway, gateway);
}

/** The route to exactly `destination` as ip(8) shows it; undefined when there is none. */
function routeHolder(netlink: Netlink, destination: IpPrefix): string | undefined {
  let have: Route | undefined;
  try {
    have = getRoute(netlink, destination.ip, { entry: true });
  } catch (error) {
    if (error instanceof NetlinkError) return undefined; // the lookup ended in a blackhole or prohibit route
    throw error;
  }
  if (have === undefined || !samePrefix(have.destination, destination)) return undefined;
  return spellHolder(have, have.oif === undefined ? undefined : getLink(netlink, { index: have.oif })?.name);
}
