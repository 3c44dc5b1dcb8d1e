// Creating and moving IPIP devices.

import { formatIp, type Ip } from '../ip.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import { IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO, RTM_NEWLINK } from './constants.ts';
import { writeIpip } from './ipip-attributes.ts';
import { addLink, type LinkSpec, writeIfinfomsg } from './link.ts';

/**
 * Creates a device without a fixed peer. EEXIST when the name is taken, or when another device has the same local address.
 * Same as: `ip link add NAME type ipip local IP nopmtudisc`.
 */
export function addIpip(spec: LinkSpec, local: Ip): NetlinkRequest {
  return addLink(spec, 'ipip', (writer) => writeIpip(writer, local), spelled(local));
}

/** Gives the device another source address; its routes stay. Same as: `ip link set NAME type ipip local IP nopmtudisc`. */
export function moveIpip(link: { readonly index: number; readonly name: string }, local: Ip): NetlinkRequest {
  return {
    type: RTM_NEWLINK,
    flags: 0,
    write(writer) {
      writeIfinfomsg(writer, link.index, 0, 0);
      writer.nest(IFLA_LINKINFO, () => {
        writer.attrText(IFLA_INFO_KIND, 'ipip');
        writer.nest(IFLA_INFO_DATA, () => writeIpip(writer, local));
      });
    },
    describe: () => `set link ${link.name} type ipip ${spelled(local)}`,
    command: () => `ip link set ${link.name} type ipip ${spelled(local)}`,
  };
}

function spelled(local: Ip): string {
  return `local ${formatIp(local)} ttl inherit nopmtudisc`;
}
