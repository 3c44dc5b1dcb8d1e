// What the kernel carries on one VXLAN device: four dumps, with a pause for other work between them.

import { breathe } from '../../lib/clock-node.ts';
import { type Family, type IpPrefix, samePrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { NetlinkError } from '../../lib/netlink/request.ts';
import { NTF_SELF, RT_TABLE_MAIN } from '../../lib/rtnetlink/constants.ts';
import { listFdb } from '../../lib/rtnetlink/fdb.ts';
import { getLink } from '../../lib/rtnetlink/link.ts';
import { listNeighs } from '../../lib/rtnetlink/neigh.ts';
import { listNexthops, type Nexthop } from '../../lib/rtnetlink/nexthop.ts';
import { getRoute, listRoutes, type Route, spellRoute } from '../../lib/rtnetlink/route.ts';
import { EINVAL, EOPNOTSUPP } from '../../lib/sys/errno.ts';
import type { Device, Observed } from './state.ts';

/** Reads neighbours, FDB, routes of `device` and all nexthop objects. Rejects with NetlinkError. */
export async function observe(netlink: Netlink, device: Device, family: Family): Promise<Observed> {
  const { index } = device;
  const neighs = listNeighs(netlink, { index, family });
  await breathe();
  // Entries of a bridge the device may be a port of carry no NTF_SELF.
  const fdb = listFdb(netlink, { index }).filter((entry) => (entry.flags & NTF_SELF) !== 0);
  await breathe();
  const nexthops = nexthopsIfSupported(netlink);
  await breathe();
  const routes = listRoutes(netlink, { family, oif: index, table: RT_TABLE_MAIN });
  await breathe();
  return { device, neighs, fdb, nexthops, routes };
}

/** Undefined before Linux 5.3. */
function nexthopsIfSupported(netlink: Netlink): Nexthop[] | undefined {
  try {
    return listNexthops(netlink);
  } catch (error) {
    if (error instanceof NetlinkError && (error.errno === EOPNOTSUPP || error.errno === EINVAL)) return undefined;
    throw error;
  }
}

/**
 * Who has the route to `destination` now, as ip(8) shows it (`10.244.2.0/24 via … dev eth0 proto static`); undefined
 * when nobody has exactly that destination. For messages.
 */
export function routeHolder(netlink: Netlink, destination: IpPrefix): string | undefined {
  let route: Route | undefined;
  try {
    route = getRoute(netlink, destination.ip, { entry: true });
  } catch (error) {
    if (error instanceof NetlinkError) return undefined; // a blackhole, a prohibit: nobody's route
    throw error;
  }
  if (route === undefined || !samePrefix(route.destination, destination)) return undefined;
  const dev = route.oif === undefined ? undefined : getLink(netlink, { index: route.oif })?.name;
  return `${spellRoute(route, dev)} proto ${route.protocol}`;
}
