// Removes what a move to another backend leaves in the kernel: routes by the device of the former backend, which are more specific than
// those of the new one, and routes of the move itself. The new backend removes them when its own routes are in place.

import { containsPrefix, type IpPrefix, samePrefix } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { listLinks } from '../../../lib/rtnetlink/link.ts';
import { deleteRoute, listRoutes, type Route } from '../../../lib/rtnetlink/route.ts';
import { RT_TABLE_MAIN, RTN_UNICAST, RTPROT_KERNEL } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { type Device, WEFT_PROTOCOL } from '../../dataplane/objects/kind.ts';
import type { OnDeviceChange } from '../backend.ts';
import { isVxlanDevice } from '../vxlan/vxlan-device.ts';
import { movedRoutes, removeMovedRoute } from './moved-route.ts';

/** Returns `task` as a function that does nothing after its first success. */
export function onceOnly<Given>(task: (given: Given) => void): (given: Given) => void {
  let isDone = false;
  return (given) => {
    if (!isDone) task(given);
    isDone = true;
  };
}

/** Removes the routes of a move. Throws NetlinkError. */
export function removeMovedRoutes(netlink: Netlink, network: IpPrefix, onChange: OnDeviceChange): void {
  for (const route of movedRoutes(netlink, { family: network.ip.family, network })) {
    const request = removeMovedRoute(route);
    netlink.run(request);
    onChange('route', request, 'left by a move between backends');
  }
}

/**
 * Removes the routes inside the network that do not lead into `own`, the device of the present backend: those by vxlan devices and all
 * others of ours, such as ipip's; then those of a move. They are more specific than the route into `own`. In this order packets to nodes
 * that have moved never go by vxlan again. Throws NetlinkError.
 */
export function removeFormerRoutes(netlink: Netlink, network: IpPrefix, own: Device, onChange: OnDeviceChange): void {
  const devices = new Map(
    listLinks(netlink)
      .filter(isVxlanDevice)
      .map(({ index, name }) => [index, name]),
  );
  const routes = listRoutes(netlink, { family: network.ip.family, table: RT_TABLE_MAIN });
  for (const route of routes) {
    const { type, oif, protocol, destination } = route;
    if (type !== RTN_UNICAST || oif === own.index || protocol === RTPROT_KERNEL) continue;
    const dev = oif === undefined ? undefined : devices.get(oif);
    if ((dev === undefined && protocol !== WEFT_PROTOCOL) || !containsPrefix(network, destination)) continue;
    const request = deleteRoute(whichOf(route), dev);
    netlink.run(request);
    onChange('route', request, `of the former backend${dev === undefined ? '' : ' vxlan'}`);
  }
  removeMovedRoutes(netlink, network, onChange);
}

/**
 * Removes routes of ours that lead the whole network into a device: those of a backend that chooses the peer by a packet's address, such as
 * wireguard. They would lead packets to subnets without a route of their own into a tunnel that nobody serves. Throws NetlinkError.
 */
export function removeNetworkRoutes(netlink: Netlink, network: IpPrefix, onChange: OnDeviceChange): void {
  const ours = { family: network.ip.family, table: RT_TABLE_MAIN, protocol: WEFT_PROTOCOL };
  for (const route of listRoutes(netlink, ours)) {
    if (route.type !== RTN_UNICAST || !samePrefix(route.destination, network)) continue;
    const request = deleteRoute(whichOf(route));
    netlink.run(request);
    onChange('route', request, 'of a former backend');
  }
}

/** Returns a function that removes once what another backend, or a move, has left of routes. The function throws NetlinkError. */
export function leavingFormerBackend(netlink: Netlink, network: IpPrefix): (onChange: OnDeviceChange) => void {
  return onceOnly((onChange: OnDeviceChange) => {
    removeNetworkRoutes(netlink, network, onChange);
    removeMovedRoutes(netlink, network, onChange);
  });
}

/** The fields that identify a route. The gateway of a route over a nexthop object belongs to that object and is left out. */
function whichOf({ destination, table, protocol, type, priority, nexthopId, gateway, oif }: Route) {
  const which = { destination, table, protocol, type, ...(priority !== undefined && { priority }) };
  if (nexthopId !== undefined) return { ...which, nexthopId };
  return { ...which, ...(gateway !== undefined && { gateway }), ...(oif !== undefined && { oif }) };
}
