// Changes as netlink requests, spelled with the device's name.

import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { NUD_PERMANENT, RTNH_F_ONLINK } from '../../lib/rtnetlink/constants.ts';
import { deleteFdb, replaceFdb } from '../../lib/rtnetlink/fdb.ts';
import { deleteNeigh, replaceNeigh } from '../../lib/rtnetlink/neigh.ts';
import { addNexthop, deleteNexthop, replaceNexthop } from '../../lib/rtnetlink/nexthop.ts';
import { addRoute, deleteRoute, type Route, replaceRoute } from '../../lib/rtnetlink/route.ts';
import { type Change, type Device, type NexthopState, type RouteState, WEFT_PROTOCOL } from './state.ts';

/** The request that makes a change to `device`. */
export function requestOf(change: Change, device: Device): NetlinkRequest {
  const { index, name } = device;
  switch (change.kind) {
    case 'neigh':
      return change.want === undefined
        ? deleteNeigh({ index, destination: present(change.have).destination }, name)
        : replaceNeigh(
            { index, destination: change.want.destination, mac: change.want.mac, state: NUD_PERMANENT },
            name,
          );
    case 'fdb':
      // Without a destination every one of the MAC goes, also those that leave by another device.
      return change.want === undefined
        ? deleteFdb({ index, mac: present(change.have).mac }, name)
        : replaceFdb({ index, mac: change.want.mac, destination: change.want.destination }, name);
    case 'nexthop':
      return change.want === undefined
        ? deleteNexthop(present(change.have).id)
        : nexthopRequest(change.want, change.have !== undefined, device);
    case 'route':
      return change.want === undefined
        ? deleteRoute(routeToDelete(present(change.have)), name)
        : routeRequest(change.want, change.have !== undefined, device);
  }
}

/** A change without a wish removes what is there. */
function present<T>(have: T | undefined): T {
  if (have === undefined) throw new Error('a change that neither wants nor has an object');
  return have;
}

/** An id that looked free is only ever added: replacing could take what another program made meanwhile. */
function nexthopRequest(want: NexthopState, exists: boolean, device: Device): NetlinkRequest {
  const { id, gateway } = want;
  const spec = { id, gateway, oif: device.index, protocol: WEFT_PROTOCOL, flags: RTNH_F_ONLINK };
  return exists ? replaceNexthop(spec, device.name) : addNexthop(spec, device.name);
}

/** On a device of other people's a route is only ever added where none was seen: the place may be taken meanwhile. */
function routeRequest(want: RouteState, exists: boolean, { index: oif, name }: Device): NetlinkRequest {
  const { destination, gateway, nexthopId, direct = false } = want;
  const protocol = WEFT_PROTOCOL;
  if (nexthopId !== undefined) return replaceRoute({ destination, nexthopId, protocol }, name);
  if (!direct) return replaceRoute({ destination, gateway, oif, flags: RTNH_F_ONLINK, protocol }, name);
  return (exists ? replaceRoute : addRoute)({ destination, gateway, oif, protocol }, name);
}

/** What identifies one route among several of its destination; the kernel compares only what is given. */
function routeToDelete(have: Route): Parameters<typeof deleteRoute>[0] {
  const { destination, table, protocol, type, priority, nexthopId, gateway, oif } = have;
  const which = { destination, table, protocol, type, ...(priority !== undefined && { priority }) };
  if (nexthopId !== undefined) return { ...which, nexthopId };
  return { ...which, ...(gateway !== undefined && { gateway }), ...(oif !== undefined && { oif }) };
}
