// Checks whether the kernel forwards at all. The CNI executable turns forwarding on when it attaches a pod. If something turns it off
// afterwards (sysctl --system, a network script), every pod is cut off, and the agent cannot write under /proc/sys to repair it.

import type { Family } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { isForwarding } from '../../../lib/rtnetlink/netconf.ts';
import type { Finding } from './compare-pod-side.ts';

/** A device by which packets from pods arrive. */
export interface Entrance {
  readonly name: string;
  readonly index: number;
}

/**
 * IPv4 has a setting for the incoming device (`net.ipv4.conf.DEV.forwarding`; ip_forward sets all of them), IPv6 only one for all
 * (`net.ipv6.conf.all.forwarding`). Until a pod is attached, forwarding need not be on. Throws NetlinkError.
 */
export function forwardingFindings(
  netlink: Netlink,
  families: readonly Family[],
  entrances: readonly Entrance[],
  hasPods: boolean,
): Finding[] {
  return families.flatMap((family) => {
    const knob = switchedOff(netlink, family, entrances);
    return knob === undefined ? [] : [finding(family, knob, hasPods)];
  });
}

function switchedOff(netlink: Netlink, family: Family, entrances: readonly Entrance[]): string | undefined {
  const isOn = isForwarding(netlink, family) !== false;
  if (family === 6) return isOn ? undefined : 'net.ipv6.conf.all.forwarding';
  const closed = entrances.find(({ index }) => isForwarding(netlink, family, index) === false);
  if (closed === undefined) return isOn || entrances.length > 0 ? undefined : 'net.ipv4.ip_forward';
  return isOn ? `net.ipv4.conf.${closed.name.replaceAll('.', '/')}.forwarding` : 'net.ipv4.ip_forward';
}

function finding(family: Family, knob: string, hasPods: boolean): Finding {
  const key = `forwarding of IPv${family}`;
  if (!hasPods)
    return { key, problem: `${knob} is 0: the CNI plugin sets it to 1 when the first pod starts`, required: false };
  const problem =
    `${knob} is 0, so the node forwards no IPv${family} packets of its pods. Run sysctl -w ${knob}=1, and find out which file in ` +
    '/etc/sysctl.d or which program sets it to 0';
  return { key, problem, required: true };
}
