// The route of the whole pod network into a device, for backends that choose the peer by the packet's address and not by a route.

import { type IpPrefix, samePrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { addRoute, listRoutes, type RouteSpec } from '../../lib/rtnetlink/route.ts';
import { RT_TABLE_MAIN } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { type Device, WEFT_PROTOCOL } from '../dataplane/objects/kind.ts';
import type { OnDeviceChange } from './backend.ts';

/**
 * Makes the route unless the device already has one to the network, whoever made it. Packets to this node's own pods follow the bridge's
 * more specific route. Throws NetlinkError.
 */
export function ensureNetworkRoute(
  netlink: Netlink,
  { index, name }: Device,
  network: IpPrefix,
  onChange: OnDeviceChange,
  more: Partial<RouteSpec> = {},
): void {
  const routes = listRoutes(netlink, { family: network.ip.family, oif: index, table: RT_TABLE_MAIN });
  if (routes.some((route) => samePrefix(route.destination, network) && route.gateway === undefined)) return;
  const request = addRoute({ destination: network, oif: index, protocol: WEFT_PROTOCOL, ...more }, name);
  netlink.run(request);
  onChange('route', request, 'missing');
}
