// Which devices are limited: the host's end of the container's veth, and an ifb named after the container.

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

/** The name the Go plugin gives it, too. */
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
  if (link === undefined) throw failure(`container interface ${ifname} has no veth peer: Link not found`);
  if (link.kind !== 'veth' || link.lowerIndex === undefined) {
    throw failure(`container interface ${ifname} has no veth peer: it is no veth`);
  }
  return link.lowerIndex;
}

/** The host's end, which an earlier plugin must have named in its result. Throws CniError 999. */
export function hostDevice(invocation: Invocation, netlink: Netlink, result: Result): Link {
  if (result.interfaces.length === 0) throw failure('no interfaces provided');
  const index = peerIndex(invocation);
  let link: Link | undefined;
  try {
    link = getLink(netlink, { index });
  } catch (thrown) {
    throw failure(`veth peer with index ${index} is not in host ns: ${goText(thrown)}`);
  }
  const named = result.interfaces.some(({ name, sandbox }) => (sandbox ?? '') === '' && name === link?.name);
  if (link === undefined || !named) throw failure('no veth peer of container interface found in host ns');
  return link;
}
