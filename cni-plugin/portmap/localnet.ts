// Lets 127.0.0.1 reach a mapped port: packets from loopback may leave by the device that leads to the container only if its route_localnet
// is set.

import type { IpPrefix } from '../../lib/ip.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { getLink } from '../../lib/rtnetlink/link.ts';
import { getRoute } from '../../lib/rtnetlink/route.ts';
import { because } from '../protocol/error.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { ensureSysctl } from '../sysctl.ts';

/** Sets it on the host's device that leads to this IPv4 address, if there is a route. Throws CniError 999. */
export function enableRouteLocalnet(invocation: Invocation, container: IpPrefix): void {
  const { sys } = invocation;
  const netlink = openNetlink(sys);
  try {
    const oif = getRoute(netlink, container.ip)?.oif;
    const name = oif === undefined ? undefined : getLink(netlink, { index: oif })?.name;
    if (name !== undefined) ensureSysctl(sys, `ipv4/conf/${name}/route_localnet`, '1');
  } catch (thrown) {
    throw because('cannot let 127.0.0.1 be routed (route_localnet)', thrown);
  } finally {
    netlink.close();
  }
}
