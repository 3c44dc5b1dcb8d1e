// Creating and moving IPIP devices.

import { formatIp, type Ip } from '../ip.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import { writeIpip } from './ipip-attributes.ts';
import { addLink, type LinkSpec, setLinkData } from './link.ts';

/**
 * Creates a device without a fixed peer. EEXIST when the name is taken, or when another device has the same local address.
 * Same as: `ip link add NAME type ipip local IP nopmtudisc`.
 */
export function addIpip(spec: LinkSpec, local: Ip): NetlinkRequest {
  return addLink(spec, 'ipip', (writer) => writeIpip(writer, local), spelled(local));
}

/** Gives the device another source address; its routes stay. Same as: `ip link set NAME type ipip local IP nopmtudisc`. */
export function moveIpip(link: { readonly index: number; readonly name: string }, local: Ip): NetlinkRequest {
  return setLinkData(link, 'ipip', (writer) => writeIpip(writer, local), spelled(local));
}

function spelled(local: Ip): string {
  return `local ${formatIp(local)} ttl inherit nopmtudisc`;
}
