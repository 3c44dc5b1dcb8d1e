// The routes that lead packets to a peer's pods through WireGuard while vxlan's route to the same subnet stays: two for each peer, one for
// each half of its subnet. The kernel prefers the longer prefix, so packets change their way when these two are added or removed, and none
// is lost.

import { addressBits, containsPrefix, formatPrefix, type IpPrefix, networkOf } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { deleteRoute, listRoutes, type Route, replaceRoute } from '../../../lib/rtnetlink/route.ts';
import {
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTN_UNICAST,
} from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { type Device, type ObjectKind, type Place, prefixKey } from '../../dataplane/objects/kind.ts';

/**
 * The protocol number of these routes (rtnetlink(7) rtm_protocol). It differs from WEFT_PROTOCOL, so that the code for vxlan's routes does
 * not touch them.
 */
export const MOVE_PROTOCOL = 139;

export interface WantedMovedRoute {
  readonly destination: IpPrefix;
}

/** Both halves of a subnet; a subnet with only one address is returned itself. */
export function halvesOf(subnet: IpPrefix): IpPrefix[] {
  const length = subnet.length + 1;
  const { family, value } = networkOf(subnet).ip;
  const size = addressBits(family) - length;
  if (size < 0) return [subnet];
  return [value, value + (1n << BigInt(size))].map((half) => ({ ip: { family, value: half }, length }));
}

/** The kind of object for these routes, on the device that `device` returns; undefined while there is no device. */
export function movedRouteKind(device: () => Device | undefined): ObjectKind<WantedMovedRoute, Route> {
  return {
    name: 'route',
    wantedKey: ({ destination }) => prefixKey(destination),
    presentKey: ({ destination }) => prefixKey(destination),
    isRight: (have) => have.oif === device()?.index && have.gateway === undefined && have.type === RTN_UNICAST,
    isOurs: isMovedRoute,
    list: movedRoutes,
    asWanted: ({ destination }, { family }) => ({
      ...{ family, destination, oif: device()?.index ?? 0, table: RT_TABLE_MAIN, protocol: MOVE_PROTOCOL },
      ...{ scope: family === 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE, type: RTN_UNICAST, flags: 0 },
    }),
    put: ({ destination }) =>
      replaceRoute({ destination, oif: device()?.index ?? 0, protocol: MOVE_PROTOCOL }, device()?.name),
    remove: (have) => removeMovedRoute(have, device()?.name),
    spell: ({ destination }) => `route ${formatPrefix(destination)}`,
    difference: ({ oif }) => `was by device ${oif}`,
    deviceOf: () => device()?.name,
    hear(event, table, place) {
      if (event.kind !== 'route' || event.object.family !== place.family) return true;
      const { object, removed, replaced } = event;
      const key = prefixKey(object.destination);
      if (!isMovedRoute(object, place)) {
        // Somebody else's route has replaced one of these. The kernel sends no other event about that.
        if (replaced && table.get(key) !== undefined) table.delete(key);
        return true;
      }
      if (!removed) table.set(key, object);
      else if (table.get(key)?.oif === object.oif) table.delete(key);
      return true;
    },
  };
}

function isMovedRoute({ table, protocol, destination }: Route, { network }: Pick<Place, 'network'>): boolean {
  return table === RT_TABLE_MAIN && protocol === MOVE_PROTOCOL && containsPrefix(network, destination);
}

/** All routes of a move in a network, on any device. */
export function movedRoutes(netlink: Netlink, { family, network }: Pick<Place, 'family' | 'network'>): Route[] {
  const routes = listRoutes(netlink, { family, table: RT_TABLE_MAIN, protocol: MOVE_PROTOCOL });
  return routes.filter((route) => isMovedRoute(route, { network }));
}

export function removeMovedRoute({ destination, table, protocol, type, oif }: Route, dev?: string) {
  return deleteRoute({ destination, table, protocol, type, ...(oif !== undefined && { oif }) }, dev);
}
