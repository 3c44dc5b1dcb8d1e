// The messages of routes: struct rtmsg, RTA_ attributes, struct rtnexthop (rtnetlink(7), linux/rtnetlink.h).

import type { Family, Ip, IpPrefix } from '../ip.ts';
import { type AttributeReader, MalformedReply, type MessageReader } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { RT_TABLE_MAIN } from './rtnetlink-constants.ts';
import { addressFamily, familyOf, type Mutable } from './spelling.ts';

export const RTA_DST = 1;
export const RTA_SRC = 2;
export const RTA_IIF = 3;
export const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
export const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTA_NH_ID = 30;

const RTAX_MTU = 2;
const RTAX_ADVMSS = 8;
const RTAX_HOPLIMIT = 10;

/** struct rtmsg: u8 family, dst_len, src_len, tos, table, protocol, scope, type; u32 flags. */
const RTMSG = 12;
/** struct rtnexthop: u16 len, u8 flags, u8 hops, s32 ifindex. */
const RTNEXTHOP = 8;

export interface Route {
  readonly family: Family;
  /** 0.0.0.0/0 or ::/0 is the default route. */
  readonly destination: IpPrefix;
  readonly gateway?: Ip;
  /** Index of the device it leaves by. */
  readonly oif?: number;
  /** The next-hop object that it uses, which then has gateway and oif. */
  readonly nexthopId?: number;
  readonly table: number;
  /** RTPROT_ of the program that made it. */
  readonly protocol: number;
  /** RT_SCOPE_ */
  readonly scope: number;
  /** RTN_UNICAST, RTN_BLACKHOLE … */
  readonly type: number;
  /** RTNH_F_ONLINK … */
  readonly flags: number;
  /** The metric; for IPv6 it is 1024 where none was given. */
  readonly priority?: number;
  readonly prefSrc?: Ip;
  readonly mtu?: number;
  readonly advmss?: number;
  /** The ttl that the node gives its own packets on this route, if it is not the usual one. */
  readonly hopLimit?: number;
  /** The hops of a multipath route, which has no gateway and oif of its own. */
  readonly hops?: readonly RouteHop[];
}

export interface RouteHop {
  readonly oif: number;
  readonly gateway?: Ip;
  readonly flags: number;
  /** 1 … 256. */
  readonly weight: number;
}

/** The specification of a route to add, or of the one to delete. When deleting, an absent value matches anything. */
export interface RouteSpec {
  readonly destination: IpPrefix;
  readonly gateway?: Ip;
  readonly oif?: number;
  readonly nexthopId?: number;
  /** RT_TABLE_MAIN when absent. */
  readonly table?: number;
  /** RTPROT_BOOT when absent, as ip and flannel have it. */
  readonly protocol?: number;
  /** When absent, chosen as ip does: link without a gateway, else universe. */
  readonly scope?: number;
  /** RTN_UNICAST when absent. */
  readonly type?: number;
  readonly flags?: number;
  readonly priority?: number;
  readonly prefSrc?: Ip;
  readonly mtu?: number;
  readonly advmss?: number;
}

/** Writes a route; the numbers are the defaults for what the spec leaves open. */
export function writeRoute(
  writer: MessageWriter,
  route: RouteSpec,
  scope: number,
  protocol: number,
  type: number,
): void {
  const { destination, gateway, oif, nexthopId, priority, prefSrc } = route;
  const table = route.table ?? RT_TABLE_MAIN;
  writer.u8(addressFamily(destination.ip.family));
  writer.u8(destination.length);
  writer.u16(0);
  // The header has room for 8 bits of it.
  writer.u8(table < 256 ? table : 0);
  writer.u8(route.protocol ?? protocol);
  writer.u8(route.scope ?? scope);
  writer.u8(route.type ?? type);
  writer.u32(route.flags ?? 0);
  if (destination.length > 0) writer.attrIp(RTA_DST, destination.ip);
  if (gateway !== undefined) writer.attrIp(RTA_GATEWAY, gateway);
  if (oif !== undefined) writer.attrU32(RTA_OIF, oif);
  if (nexthopId !== undefined) writer.attrU32(RTA_NH_ID, nexthopId);
  if (priority !== undefined) writer.attrU32(RTA_PRIORITY, priority);
  if (prefSrc !== undefined) writer.attrIp(RTA_PREFSRC, prefSrc);
  if (table >= 256) writer.attrU32(RTA_TABLE, table);
  if (route.mtu !== undefined || route.advmss !== undefined)
    writer.nest(RTA_METRICS, () => writeMetrics(writer, route));
}

function writeMetrics(writer: MessageWriter, route: RouteSpec): void {
  if (route.mtu !== undefined) writer.attrU32(RTAX_MTU, route.mtu);
  if (route.advmss !== undefined) writer.attrU32(RTAX_ADVMSS, route.advmss);
}

/** Decodes RTM_NEWROUTE and RTM_DELROUTE; undefined for other families. Throws MalformedReply. */
export function decodeRoute(message: MessageReader): Route | undefined {
  const at = message.struct(RTMSG);
  const { view } = message;
  const family = familyOf(view.getUint8(at));
  if (family === undefined) return undefined;
  const length = view.getUint8(at + 1);
  const route: Mutable<Route> = {
    family,
    destination: family === 4 ? ANY4 : ANY6,
    table: view.getUint8(at + 4),
    protocol: view.getUint8(at + 5),
    scope: view.getUint8(at + 6),
    type: view.getUint8(at + 7),
    flags: view.getUint32(at + 8, true),
  };
  const attributes = message.attributes(RTMSG);
  while (attributes.next()) {
    if (attributes.type === RTA_DST) route.destination = { ip: attributes.ip(), length };
    else decodeRouteAttribute(attributes, route);
  }
  if (route.destination.length === length) return route;
  // ::/0 and 0/0 come without RTA_DST, and so do malformed messages.
  throw new MalformedReply(`a route to /${length} without a destination`);
}

const ANY4: IpPrefix = { ip: { family: 4, value: 0n }, length: 0 };
const ANY6: IpPrefix = { ip: { family: 6, value: 0n }, length: 0 };

function decodeRouteAttribute(attribute: AttributeReader, route: Mutable<Route>): void {
  switch (attribute.type) {
    case RTA_GATEWAY:
      route.gateway = attribute.ip();
      break;
    case RTA_VIA:
      route.gateway = viaAddress(attribute);
      break;
    case RTA_OIF:
      route.oif = attribute.u32();
      break;
    case RTA_NH_ID:
      route.nexthopId = attribute.u32();
      break;
    case RTA_PRIORITY:
      route.priority = attribute.u32();
      break;
    case RTA_PREFSRC:
      route.prefSrc = attribute.ip();
      break;
    case RTA_TABLE:
      route.table = attribute.u32();
      break;
    case RTA_METRICS:
      decodeMetrics(attribute.nested(), route);
      break;
    case RTA_MULTIPATH:
      route.hops = decodeHops(attribute);
      break;
  }
}

/** struct rtvia: u16 family, then the address: an IPv6 gateway of an IPv4 route. */
function viaAddress(attribute: AttributeReader): Ip {
  return attribute.ipAt(2, familyOf(attribute.u16()) ?? 6);
}

function decodeMetrics(metrics: AttributeReader, route: Mutable<Route>): void {
  while (metrics.next()) {
    if (metrics.type === RTAX_MTU) route.mtu = metrics.u32();
    else if (metrics.type === RTAX_ADVMSS) route.advmss = metrics.u32();
    else if (metrics.type === RTAX_HOPLIMIT) route.hopLimit = metrics.u32();
  }
}

function decodeHops(multipath: AttributeReader): RouteHop[] {
  const hops: RouteHop[] = [];
  const { view } = multipath;
  const end = multipath.at + multipath.length;
  for (let at = multipath.at; at < end; ) {
    const length = end - at < RTNEXTHOP ? 0 : view.getUint16(at, true);
    if (length < RTNEXTHOP || length > end - at) {
      throw new MalformedReply(`a next hop claims ${length} of the ${end - at} bytes left`);
    }
    const hop: Mutable<RouteHop> = {
      oif: view.getInt32(at + 4, true),
      flags: view.getUint8(at + 2),
      weight: view.getUint8(at + 3) + 1,
    };
    const attributes = multipath.within(at + RTNEXTHOP, at + length);
    while (attributes.next()) {
      if (attributes.type === RTA_GATEWAY) hop.gateway = attributes.ip();
      else if (attributes.type === RTA_VIA) hop.gateway = viaAddress(attributes);
    }
    hops.push(hop);
    at += (length + 3) & ~3;
  }
  return hops;
}
