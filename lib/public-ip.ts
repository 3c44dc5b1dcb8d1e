// Which addresses a node may publish as the one that other nodes send to.

import {
  contains,
  type Family,
  formatPrefix,
  type Ip,
  type IpPrefix,
  isLoopback,
  isMulticast,
  isUnspecified,
} from './ip.ts';

/** `::ffff:0:0/96` (RFC 4291, 2.5.5.2): never on the wire. */
const IPV4_MAPPED: IpPrefix = { ip: { family: 6, value: 0xffffn << 32n }, length: 96 };

/**
 * Says what is wrong with an address that a node is to publish, as the end of a sentence: `is a loopback address`. Undefined when
 * nothing is wrong. An address in a pod network is wrong, because packets to it would be routed into the tunnel that should carry
 * them.
 */
export function findPublicIpProblem(ip: Ip, podNetworks: readonly IpPrefix[]): string | undefined {
  if (isUnspecified(ip)) return 'is the unspecified address';
  if (isLoopback(ip)) return 'is a loopback address';
  if (isMulticast(ip)) return 'is a multicast address';
  if (ip.family === 4 && ip.value === 0xffffffffn) return 'is the broadcast address';
  if (contains(IPV4_MAPPED, ip)) return 'is an IPv4-mapped address';
  const network = podNetworks.find((one) => contains(one, ip));
  return network && `lies inside the pod network ${formatPrefix(network)}`;
}

/** What is allowed instead, for messages. */
export function publicIpExpected(family: Family, podNetworks: readonly IpPrefix[]): string {
  const networks = podNetworks.filter(({ ip }) => ip.family === family).map(formatPrefix);
  const outside = networks.length === 0 ? '' : `, outside the pod network ${networks.join(', ')}`;
  return `an IPv${family} unicast address that other nodes can send to${outside}`;
}
