// Finds ports of the bridge that lead to no pod: veths whose other end is in the node's own namespace, down, on no bridge and
// without an address. An ADD never makes one, not even for a moment, because both ends begin in the pod's namespace.

import type { Netlink } from '../../../lib/netlink/connection.ts';
import { isPodPortName } from '../../../lib/pods/names.ts';
import { listAddresses } from '../../../lib/rtnetlink/address.ts';
import { getLink, type Link } from '../../../lib/rtnetlink/link.ts';
import { IFF_UP } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { listVethEnds } from '../../../lib/rtnetlink/veth-ends.ts';

export interface LoneVeth {
  readonly index: number;
  readonly name: string;
  readonly why: string;
}

/** Throws NetlinkError. */
export function listLoneVeths(netlink: Netlink, bridge: string): LoneVeth[] {
  const master = getLink(netlink, { name: bridge });
  if (master?.kind !== 'bridge') return [];
  const ports = listVethEnds(netlink).filter((veth) => veth.master === master.index && isPodPortName(veth.name));
  return ports.flatMap(({ index, name, other: end }) => {
    const other = end.place === 'node' && end.index !== 0 ? getLink(netlink, { index: end.index }) : undefined;
    if (other === undefined || isInUse(netlink, other)) return [];
    return [{ index, name, why: `no pod has its other end, which is ${other.name}, on the node and down` }];
  });
}

function isInUse(netlink: Netlink, { index, master, flags }: Link): boolean {
  return (master ?? 0) !== 0 || (flags & IFF_UP) !== 0 || listAddresses(netlink, { index }).length > 0;
}
