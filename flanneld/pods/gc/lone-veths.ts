// Ports of the bridge that lead to no pod: a veth whose other end lies in the node's own namespace, down, on no bridge,
// with no address. An ADD never makes one, not even for a moment (both ends begin in the pod's namespace).

import type { Netlink } from '../../../lib/netlink/connection.ts';
import { listAddresses } from '../../../lib/rtnetlink/address.ts';
import { IFF_UP } from '../../../lib/rtnetlink/constants.ts';
import { getLink, type Link, listLinks } from '../../../lib/rtnetlink/link.ts';
import { listVethsWithPeerHere } from '../../../lib/rtnetlink/veth-peers.ts';

/** As this plugin and the reference one name the node's end. */
const POD_PORT = /^veth[0-9a-f]{8,11}$/;

export interface LoneVeth {
  readonly index: number;
  readonly name: string;
  readonly why: string;
}

/** Throws NetlinkError. */
export function listLoneVeths(netlink: Netlink, bridge: string): LoneVeth[] {
  const master = getLink(netlink, { name: bridge });
  if (master?.kind !== 'bridge') return [];
  const here = listVethsWithPeerHere(netlink);
  return listLinks(netlink, { master: master.index }).flatMap(({ index, name }) => {
    const peer = POD_PORT.test(name) ? here.get(index) : undefined;
    const other = peer === undefined ? undefined : getLink(netlink, { index: peer });
    if (other === undefined || isInUse(netlink, other)) return [];
    return [{ index, name, why: `no pod has its other end: that is ${other.name}, on the node and down` }];
  });
}

function isInUse(netlink: Netlink, { index, master, flags }: Link): boolean {
  return (master ?? 0) !== 0 || (flags & IFF_UP) !== 0 || listAddresses(netlink, { index }).length > 0;
}
