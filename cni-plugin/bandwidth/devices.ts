// The devices that carry limits: the host's end of the container's veth, and an ifb named after the container.

import { type Netlink, openNetlink } from '../../lib/netlink/connection.ts';
import { getLink, type Link } from '../../lib/rtnetlink/link.ts';
import { inNetns } from '../../lib/sys/netns.ts';
import { failure, goText } from '../protocol/error.ts';
import { type Invocation, requireNetns } from '../protocol/plugin.ts';
import type { Result } from '../protocol/result.ts';
import { sha512Hex } from '../sha512.ts';

export const IFB_PREFIX = 'bwp';
/** Interface names have 15 characters. */
const IFB_DIGITS = 12;

/** The name of the ifb, which is also the Go plugin's. */
export function ifbName(invocation: Invocation, containerId = invocation.containerId): string {
  const hash = sha512Hex(invocation.sys.arena.encode(invocation.name + containerId));
  return IFB_PREFIX + hash.slice(0, IFB_DIGITS);
}

/** Index of the host's end of the container's veth. */
function peerIndex(invocation: Invocation): number {
  const { sys, ifname } = invocation;
  const link = inNetns(sys, requireNetns(invocation), () => {
    const netlink = openNetlink(sys);
    try {
      return getLink(netlink, { name: ifname });
    } finally {
      netlink.close();
    }
  });
  if (link === undefined) throw failure(`the pod has no interface ${ifname} to limit`);
  if (link.kind !== 'veth' || link.lowerIndex === undefined) {
    throw failure(`${ifname} of the pod is no veth: it has no end on the node to limit`);
  }
  return link.lowerIndex;
}

/** The host's end, which an earlier plugin must have named in its result. Throws CniError 999. */
export function hostDevice(invocation: Invocation, netlink: Netlink, result: Result): Link {
  if (result.interfaces.length === 0)
    throw failure("prevResult names no interfaces: the end of the pod's veth on the node must be among them");
  const index = peerIndex(invocation);
  let link: Link | undefined;
  try {
    link = getLink(netlink, { index });
  } catch (thrown) {
    throw failure(`cannot read interface ${index} of the node, the other end of the pod's veth: ${goText(thrown)}`);
  }
  const named = result.interfaces.some(({ name, sandbox }) => (sandbox ?? '') === '' && name === link?.name);
  if (link === undefined || !named)
    throw failure("no interface of prevResult is the other end of the pod's veth on the node");
  return link;
}
