// Which rtnetlink events concern the overlays: those of our devices and of the interface underneath, and routes and
// nexthops in our ranges wherever they lead. A node with pods sees thousands of others.

import { contains, containsPrefix, type Ip, type IpPrefix, isLinkLocal } from '../../lib/ip.ts';
import {
  RT_TABLE_LOCAL,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_NETCONF,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV4_RULE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_NETCONF,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_IPV6_RULE,
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
  RTNLGRP_NEXTHOP,
} from '../../lib/rtnetlink/constants.ts';
import type { RtnetlinkEvent } from '../../lib/rtnetlink/event.ts';
import type { Route } from '../../lib/rtnetlink/route-message.ts';
import { isReservedNexthopId } from './nexthop-ids.ts';

/** The multicast groups to subscribe to. */
export const KERNEL_GROUPS: readonly number[] = [
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_NETCONF,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV4_RULE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_NETCONF,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_IPV6_RULE,
  RTNLGRP_NEXTHOP,
];

/** What is ours, as far as it is known now. */
export interface Concern {
  /** Our devices and external interfaces. */
  readonly names: ReadonlySet<string>;
  /** Indexes of our devices. */
  readonly indexes: ReadonlySet<number>;
  /** External interfaces on whose link peers are: there addresses count, and every route of the node. */
  readonly underlays: ReadonlySet<number>;
  readonly networks: readonly IpPrefix[];
}

/** What changed, in a word for the log; undefined when it does not concern us. */
export function concerning(event: RtnetlinkEvent, concern: Concern): string | undefined {
  switch (event.kind) {
    case 'link':
      return concern.names.has(event.object.name) ? 'link' : undefined;
    case 'address': {
      const { index, ip } = event.object;
      const isOurs = concern.indexes.has(index) || concern.underlays.has(index);
      return isOurs || liesIn(concern.networks, ip) ? 'address' : undefined;
    }
    case 'neigh':
    case 'fdb':
      return concern.indexes.has(event.object.index) ? 'neighbour' : undefined;
    case 'route':
      return concernsRoute(event.object, concern) ? 'route' : undefined;
    case 'nexthop':
      return isReservedNexthopId(event.object.id) ? 'nexthop' : undefined;
    default:
      return undefined;
  }
}

/** Also a route that somebody else put in the place of ours: it leads elsewhere, but to the network. */
function concernsRoute(route: Route, { indexes, underlays, networks }: Concern): boolean {
  // Any route may decide whether a peer is on the link, but for those that come and go with every pod's device.
  if (underlays.size > 0 && route.table !== RT_TABLE_LOCAL && !isLinkLocal(route.destination.ip)) return true;
  if (route.oif !== undefined && indexes.has(route.oif)) return true;
  if (networks.some((network) => containsPrefix(network, route.destination))) return true;
  return route.gateway !== undefined && liesIn(networks, route.gateway);
}

/** What the node itself has in the network decides whether that may have an unreachable route. */
function liesIn(networks: readonly IpPrefix[], ip: Ip): boolean {
  return networks.some((network) => contains(network, ip));
}
