// The external interface as a backend looks at it, at every run.

import { OpError } from '../../lib/errors.ts';
import { formatIp, formatPrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { getLink, type Link } from '../../lib/rtnetlink/link.ts';
import type { FamilySettings } from './overlay.ts';

/** The interface of that name; OpError (ENODEV) in the backend's words when it is gone. */
export function underlayLink(netlink: Netlink, name: string, subsystem: string): Link {
  const link = getLink(netlink, { name });
  if (link !== undefined) return link;
  const detail = 'the external interface is gone';
  throw new OpError({ subsystem, op: 'use', object: name, code: 'ENODEV', detail });
}

/** What every overlay tells of itself, in the words of the status report and of the log. */
export function describePlace({ network, subnet, underlay, local, publicIp }: FamilySettings): {
  readonly network: string;
  readonly subnet: string;
  readonly iface: string;
  readonly local: string;
  readonly publicIp: string;
} {
  return {
    network: formatPrefix(network),
    subnet: formatPrefix(subnet),
    iface: underlay,
    local: formatIp(local),
    publicIp: formatIp(publicIp),
  };
}
