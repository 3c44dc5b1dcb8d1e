// Creating VTEPs.

import type { NetlinkRequest } from '../netlink/request.ts';
import { addLink, type LinkSpec } from './link.ts';
import { spellVxlan, type VxlanAttributes, writeVxlan } from './vxlan-attributes.ts';

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
    // Only to be spelled when a message is: a thunk would cost more than it saves, devices are few.
    spellVxlan(vxlan, dev),
  );
}
