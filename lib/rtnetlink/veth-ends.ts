// Finds the other end of each veth. IFLA_LINK alone is an index in a namespace that may be another one; if it is, IFLA_LINK_NETNSID is
// present (linux/if_link.h, linux/net_namespace.h).

import type { Mac } from '../mac.ts';
import type { Netlink } from '../netlink/connection.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import { dumpLinks } from './link.ts';
import { AF_UNSPEC, IFLA_LINK, IFLA_LINK_NETNSID, RTM_GETNSID } from './rtnetlink-constants.ts';

const IFINFOMSG = 16;

/** One end of a veth pair that lies in the node's own namespace. */
export interface VethEnd {
  readonly index: number;
  readonly name: string;
  readonly mac: Mac | undefined;
  /** Index of the bridge it is a port of; 0: of none. */
  readonly master: number;
  readonly other: OtherEnd;
}

/** The other end: also a device of the node, or in the namespace to which the node's kernel gave this number. */
export type OtherEnd =
  | { readonly place: 'node'; readonly index: number }
  /** −1: in a namespace that is being removed. */
  | { readonly place: 'netns'; readonly netnsId: number };

/** All veths of the node. The call makes the kernel number each namespace on the other side. Throws NetlinkError. */
export function listVethEnds(netlink: Netlink): VethEnd[] {
  return dumpLinks(netlink, { kind: 'veth' }, ({ index, name, mac, master = 0 }, message): VethEnd => {
    let peer = 0;
    let netnsId: number | undefined;
    const attributes = message.attributes(IFINFOMSG);
    while (attributes.nextOf(1 << IFLA_LINK, 1 << (IFLA_LINK_NETNSID - 32))) {
      if (attributes.type === IFLA_LINK) peer = attributes.u32();
      // Types from 64 on have the same bit as a smaller type.
      else if (attributes.type === IFLA_LINK_NETNSID) netnsId = attributes.i32();
    }
    const other: OtherEnd = netnsId === undefined ? { place: 'node', index: peer } : { place: 'netns', netnsId };
    return { index, name, mac, master, other };
  });
}

const NETNSA_NSID = 1;
const NETNSA_FD = 3;
/** struct rtgenmsg: u8 family, and padding that aligns the attributes. */
const RTGENMSG = 4;

/**
 * The number of an open namespace; undefined when the kernel has given it none, because no device of the node has its other end there.
 * Throws NetlinkError. Same as: `ip netns list-id`.
 */
export function netnsIdOf(netlink: Netlink, fd: number): number | undefined {
  const request: NetlinkRequest = {
    type: RTM_GETNSID,
    flags: 0,
    write(writer) {
      writer.u32(AF_UNSPEC);
      writer.attrU32(NETNSA_FD, fd);
    },
    describe: () => `get nsid of fd ${fd}`,
  };
  const id = netlink.get(request, (message) => {
    const attributes = message.attributes(RTGENMSG);
    while (attributes.next()) if (attributes.type === NETNSA_NSID) return attributes.i32();
    return undefined;
  });
  return id === undefined || id < 0 ? undefined : id;
}
