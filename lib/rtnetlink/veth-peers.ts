// Which veths have both ends in one namespace: IFLA_LINK alone is an index in a namespace that may be another one
// (linux/if_link.h: IFLA_LINK_NETNSID is there when it is).

import type { Netlink } from '../netlink/connection.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import {
  IFLA_EXT_MASK,
  IFLA_INFO_KIND,
  IFLA_LINK,
  IFLA_LINK_NETNSID,
  IFLA_LINKINFO,
  RTEXT_FILTER_SKIP_STATS,
  RTM_GETLINK,
} from './constants.ts';
import { decodeLink, writeIfinfomsg } from './link.ts';

const IFINFOMSG = 16;

/** The peer's index by the index of each veth whose peer is in the same namespace. Throws NetlinkError. */
export function listVethsWithPeerHere(netlink: Netlink): ReadonlyMap<number, number> {
  const request: NetlinkRequest = {
    type: RTM_GETLINK,
    flags: 0,
    write(writer) {
      writeIfinfomsg(writer, 0, 0, 0);
      writer.attrU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
      writer.nest(IFLA_LINKINFO, () => writer.attrText(IFLA_INFO_KIND, 'veth'));
    },
    describe: () => 'list links',
  };
  const peers = new Map<number, number>();
  netlink.dump(request, (message) => {
    const { index, kind } = decodeLink(message);
    let peer = 0;
    const attributes = message.attributes(IFINFOMSG);
    while (attributes.next()) {
      if (attributes.type === IFLA_LINK) peer = attributes.u32();
      if (attributes.type === IFLA_LINK_NETNSID) return undefined;
    }
    if (kind === 'veth' && peer !== 0) peers.set(index, peer);
    return undefined;
  });
  return peers;
}
