// Requests about routes (rtnetlink(7)). The messages themselves are in route-message.ts.

import { type Family, formatIp, formatPrefix, type Ip, type IpPrefix, networkOf } from '../ip.ts';
import type { Netlink } from '../netlink/connection.ts';
import type { MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import { EHOSTUNREACH, ENETUNREACH, ENOENT } from '../sys/errno.ts';
import {
  decodeRoute,
  type Route,
  type RouteSpec,
  RTA_DST,
  RTA_IIF,
  RTA_OIF,
  RTA_SRC,
  RTA_TABLE,
  writeRoute,
} from './route-message.ts';
import {
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTM_DELROUTE,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTN_BLACKHOLE,
  RTN_LOCAL,
  RTN_PROHIBIT,
  RTN_UNICAST,
  RTN_UNREACHABLE,
  RTNH_F_ONLINK,
  RTPROT_BOOT,
} from './rtnetlink-constants.ts';
import { type RequestKind, SpecRequest } from './spec-request.ts';
import { addressFamily, spellDev, words } from './spelling.ts';

export type { Route, RouteSpec } from './route-message.ts';

/** EEXIST when destination, table and metric are taken. Same as: `ip route add PREFIX via IP dev DEV onlink`. */
export function addRoute(route: RouteSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(ROUTE, 'add', route, dev);
}

/** Replaces the route with that destination, table and metric, whoever made it. Same as: `ip route replace …`. */
export function replaceRoute(route: RouteSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(ROUTE, 'replace', route, dev);
}

/** ESRCH when no route matches everything that is given. Same as: `ip route del …`. */
export function deleteRoute(route: RouteSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(ROUTE, 'delete', route, dev);
}

const ROUTE: RequestKind<RouteSpec> = {
  newType: RTM_NEWROUTE,
  deleteType: RTM_DELROUTE,
  write(writer, route, verb) {
    if (verb === 'delete') writeRoute(writer, route, RT_SCOPE_NOWHERE, 0, 0);
    else writeRoute(writer, route, defaultScope(route), RTPROT_BOOT, RTN_UNICAST);
  },
  spell: (route, _, dev) => `route ${spellRoute(route, dev)}`,
  command: (route, _, dev, toolVerb) => words('ip route', toolVerb, spellRoute(route, dev), spellRest(route)),
};

/** iproute2's choice (iproute.c): the kernel refuses a gateway in scope link. */
function defaultScope(route: RouteSpec): number {
  const type = route.type ?? RTN_UNICAST;
  if (type === RTN_LOCAL) return RT_SCOPE_HOST;
  const direct = type === RTN_UNICAST && route.gateway === undefined && route.nexthopId === undefined;
  return direct ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
}

/** Destination and next hop in ip's syntax: `10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink`. */
export function spellRoute(route: RouteSpec, dev?: string): string {
  const { destination, gateway, oif, nexthopId } = route;
  return words(
    spellType(route.type),
    destination.length === 0 ? 'default' : formatPrefix(destination),
    nexthopId === undefined ? '' : `nhid ${nexthopId}`,
    gateway === undefined ? '' : `via ${formatIp(gateway)}`,
    oif === undefined ? '' : spellDev(oif, dev),
    ((route.flags ?? 0) & RTNH_F_ONLINK) !== 0 ? 'onlink' : '',
  );
}

function spellType(type: number | undefined): string {
  if (type === RTN_BLACKHOLE) return 'blackhole';
  if (type === RTN_UNREACHABLE) return 'unreachable';
  if (type === RTN_PROHIBIT) return 'prohibit';
  return type === RTN_LOCAL ? 'local' : '';
}

function spellRest(route: RouteSpec): string {
  const { table, protocol, priority, prefSrc, mtu, advmss } = route;
  return words(
    table === undefined || table === RT_TABLE_MAIN ? '' : `table ${table}`,
    protocol === undefined || protocol === RTPROT_BOOT ? '' : `proto ${protocol}`,
    priority === undefined ? '' : `metric ${priority}`,
    prefSrc === undefined ? '' : `src ${formatIp(prefSrc)}`,
    mtu === undefined ? '' : `mtu ${mtu}`,
    advmss === undefined ? '' : `advmss ${advmss}`,
  );
}

export interface RouteFilter {
  readonly family: Family;
  readonly oif?: number;
  /** All tables when absent. */
  readonly table?: number;
  readonly protocol?: number;
  /** RTN_UNICAST, … */
  readonly type?: number;
}

/**
 * Routes of one family, filtered by the kernel, without those for which `omit` is true. Same as: `ip route show table all [dev DEV]
 * [proto P]`.
 */
export function listRoutes(netlink: Netlink, filter: RouteFilter, omit?: (route: Route) => boolean): Route[] {
  const { family, oif, table, protocol, type } = filter;
  const request: NetlinkRequest = {
    type: RTM_GETROUTE,
    flags: 0,
    write(writer) {
      writer.u32(addressFamily(family));
      writer.u8(0);
      writer.u8(protocol ?? 0);
      writer.u8(0);
      writer.u8(type ?? 0);
      writer.u32(0);
      if (table !== undefined) writer.attrU32(RTA_TABLE, table);
      if (oif !== undefined) writer.attrU32(RTA_OIF, oif);
    },
    describe: () => words(`list ${family === 6 ? 'IPv6' : 'IPv4'} routes`, spellDev(oif, undefined)),
  };
  // ENOENT: the table does not exist, so it has no routes.
  const parse = (message: MessageReader): Route | undefined => {
    const route = matching(decodeRoute(message), filter);
    return route === undefined || omit?.(route) === true ? undefined : route;
  };
  return netlink.dump(request, parse, [ENOENT]);
}

/** An older kernel ignores parts of the filter and sends more routes, so they are filtered again here. */
function matching(route: Route | undefined, filter: RouteFilter): Route | undefined {
  if (route === undefined || route.family !== filter.family) return undefined;
  if (filter.table !== undefined && route.table !== filter.table) return undefined;
  if (filter.protocol !== undefined && route.protocol !== filter.protocol) return undefined;
  if (filter.type !== undefined && route.type !== filter.type) return undefined;
  const { oif } = filter;
  if (oif === undefined || route.oif === oif) return route;
  return route.hops?.some((hop) => hop.oif === oif) === true ? route : undefined;
}

const RTM_F_LOOKUP_TABLE = 0x1000;
const RTM_F_FIB_MATCH = 0x2000;

export interface RouteLookup {
  /** Answer with the table's entry (`fibmatch`) and not with the route to this one address. */
  readonly entry?: boolean;
  /** Consider only routes that leave by this device. */
  readonly oif?: number;
  /** Answer as for a packet from this address; with `iif`, for one that arrives by that device and is to be forwarded. */
  readonly from?: Ip;
  readonly iif?: number;
}

/**
 * The route of packets to `ip`; undefined when it is unreachable. A blackhole throws EINVAL, a prohibit EACCES. Same as: `ip route get
 * [fibmatch] IP`.
 */
export function getRoute(netlink: Netlink, ip: Ip, lookup: RouteLookup = {}): Route | undefined {
  const host: IpPrefix = networkOf({ ip, length: ip.family === 4 ? 32 : 128 });
  const request: NetlinkRequest = {
    type: RTM_GETROUTE,
    flags: 0,
    write(writer) {
      writer.u8(addressFamily(ip.family));
      writer.u8(host.length);
      writer.u8(lookup.from === undefined ? 0 : host.length);
      writer.u8(0);
      writer.u32(0);
      // Without it IPv4 answers table main whatever the table is. IPv6 refuses the flag, and always says the table.
      const table = ip.family === 4 ? RTM_F_LOOKUP_TABLE : 0;
      writer.u32(table | (lookup.entry === true ? RTM_F_FIB_MATCH : 0));
      writer.attrIp(RTA_DST, host.ip);
      if (lookup.from !== undefined) writer.attrIp(RTA_SRC, lookup.from);
      if (lookup.iif !== undefined) writer.attrU32(RTA_IIF, lookup.iif);
      if (lookup.oif !== undefined) writer.attrU32(RTA_OIF, lookup.oif);
    },
    describe: () => `get route to ${spellLookup(ip, lookup)}`,
    command: () => words('ip route get', lookup.entry === true ? 'fibmatch' : '', spellLookup(ip, lookup)),
  };
  return netlink.get(request, decodeRoute, [ENETUNREACH, EHOSTUNREACH]);
}

function spellLookup(ip: Ip, { from, iif }: RouteLookup): string {
  return words(
    formatIp(ip),
    from === undefined ? '' : `from ${formatIp(from)}`,
    iif === undefined ? '' : `iif if${iif}`,
  );
}
