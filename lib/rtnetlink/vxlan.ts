// Creates and moves VTEPs.

import { formatIp } from '../ip.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import { addLink, type LinkSpec, setLinkData } from './link.ts';
import { spellVxlan, type VxlanAttributes, type VxlanPlace, writeVxlan, writeVxlanPlace } from './vxlan-attributes.ts';

export interface VxlanSpec extends LinkSpec {
  readonly vxlan: VxlanAttributes;
}

/**
 * Creates a VXLAN device; EEXIST also when another device has the same VNI and port. The kernel lowers an
 * MTU that the underlay cannot carry. `dev` names the device underneath in messages.
 * Same as: `ip link add NAME type vxlan id VNI local IP dev DEV dstport PORT nolearning`.
 */
export function addVxlan(spec: VxlanSpec, dev?: string): NetlinkRequest {
  const { vxlan } = spec;
  return addLink(
    spec,
    'vxlan',
    (writer) => writeVxlan(writer, vxlan),
    // The text is made even if no message needs it: there are few devices, and a function for it would cost more.
    spellVxlan(vxlan, dev),
  );
}

/**
 * Moves a VTEP to another device underneath and another source address; its FDB, neighbours, routes and nexthops stay. EOPNOTSUPP where the
 * kernel cannot do this (before 5.0). Same as: `ip link set NAME type vxlan id VNI local IP dev DEV`.
 */
export function moveVxlan(
  link: { readonly index: number; readonly name: string },
  to: VxlanPlace,
  dev: string,
): NetlinkRequest {
  const spelled = `id ${to.vni} local ${formatIp(to.local)} dev ${dev}`;
  return setLinkData(link, 'vxlan', (writer) => writeVxlanPlace(writer, to), spelled);
}
