// Which rtnetlink events concern the overlays: those of our devices and of the interface underneath, and routes and
// nexthops in our ranges wherever they lead. A node with pods sees thousands of others.

import { containsPrefix, type IpPrefix, isLinkLocal } from '../../lib/ip.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import { decodeAddress } from '../../lib/rtnetlink/address.ts';
import {
  RT_TABLE_LOCAL,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWNEXTHOP,
  RTM_NEWROUTE,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
  RTNLGRP_NEXTHOP,
} from '../../lib/rtnetlink/constants.ts';
import { decodeLink } from '../../lib/rtnetlink/link.ts';
import { NDMSG } from '../../lib/rtnetlink/neigh.ts';
import { decodeNexthop } from '../../lib/rtnetlink/nexthop.ts';
import { decodeRoute } from '../../lib/rtnetlink/route-message.ts';
import { isReservedNexthopId } from './nexthop-ids.ts';

/** The multicast groups to subscribe to. */
export const KERNEL_GROUPS: readonly number[] = [
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
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

/** What changed, in a word for the log; undefined when it does not concern us. Throws MalformedReply. */
export function concerning(message: MessageReader, concern: Concern): string | undefined {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return concern.names.has(decodeLink(message).name) ? 'link' : undefined;
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const index = decodeAddress(message)?.index;
      const isOurs = index !== undefined && (concern.indexes.has(index) || concern.underlays.has(index));
      return isOurs ? 'address' : undefined;
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return concern.indexes.has(message.view.getInt32(message.struct(NDMSG) + 4, true)) ? 'neighbour' : undefined;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return concernsRoute(message, concern) ? 'route' : undefined;
    case RTM_NEWNEXTHOP:
    case RTM_DELNEXTHOP:
      return isReservedNexthopId(decodeNexthop(message).id) ? 'nexthop' : undefined;
    default:
      return undefined;
  }
}

/** Also a route that somebody else put in the place of ours: it leads elsewhere, but to the network. */
function concernsRoute(message: MessageReader, { indexes, underlays, networks }: Concern): boolean {
  const route = decodeRoute(message);
  if (route === undefined) return false;
  // Any route may decide whether a peer is on the link, but for those that come and go with every pod's device.
  if (underlays.size > 0 && route.table !== RT_TABLE_LOCAL && !isLinkLocal(route.destination.ip)) return true;
  if (route.oif !== undefined && indexes.has(route.oif)) return true;
  return networks.some((network) => containsPrefix(network, route.destination));
}
