// Checks the address that this node publishes: whether others can send to it, and whether another node publishes it too.

import { ConfigError } from '../../lib/errors.ts';
import { type Family, formatIp, type Ip, type IpPrefix, sameIp, samePrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { NetlinkError } from '../../lib/netlink/request.ts';
import { findPublicIpProblem, publicIpExpected } from '../../lib/public-ip.ts';
import { getRoute } from '../../lib/rtnetlink/route.ts';
import { RTN_BROADCAST } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Check } from '../health/http-server.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';

/** Whether the address is the broadcast address of a link of this node. */
export function isBroadcastHere(netlink: Netlink, ip: Ip): boolean {
  try {
    return getRoute(netlink, ip)?.type === RTN_BROADCAST;
  } catch (error) {
    if (error instanceof NetlinkError) return false; // the lookup ended in a blackhole or prohibit route
    throw error;
  }
}

/** Throws ConfigError for an address given by a flag that no other node can send to. */
export function checkFlagAddress(
  flag: string,
  ip: Ip | undefined,
  networks: readonly IpPrefix[],
  isBroadcast: (ip: Ip) => boolean,
): void {
  if (ip === undefined) return;
  const broadcast = isBroadcast(ip) ? 'is the broadcast address of a link of this node' : undefined;
  const problem = findPublicIpProblem(ip, networks) ?? broadcast;
  if (problem === undefined) return;
  const expected = publicIpExpected(ip.family, networks);
  throw new ConfigError('flag', flag, `expected ${expected}, got ${JSON.stringify(formatIp(ip))}, which ${problem}`);
}

/** One family of this node as others see it. */
export interface Published {
  readonly family: Family;
  readonly subnet: IpPrefix;
  readonly publicIp: Ip;
}

const NAME = 'own address';

function ownAddressChecks(node: string, published: readonly Published[], snapshot: LeaseSnapshot): Check[] {
  const problems = [
    ...(snapshot.nodeAddresses?.refused ?? []),
    ...published.flatMap((one) => shared(node, one, snapshot)),
  ];
  return problems.map((problem) => ({ name: NAME, problem, required: false }));
}

/**
 * Makes lines for /readyz?verbose and `status`: which addresses were refused, and which other node publishes the same one. The leases of a
 * snapshot are compared once, because the lines are requested every few seconds and there may be thousands of leases.
 */
export function ownAddressChecker(
  node: string,
  published: readonly Published[],
): (snapshot: LeaseSnapshot) => readonly Check[] {
  let known: { readonly snapshot: LeaseSnapshot; readonly checks: readonly Check[] } | undefined;
  return (snapshot) => {
    if (known?.snapshot !== snapshot) known = { snapshot, checks: ownAddressChecks(node, published, snapshot) };
    return known.checks;
  };
}

/** This is only reported, not refused: the other node may be the old Node object of this machine before it was installed again. */
function shared(node: string, { family, subnet, publicIp }: Published, { leases, ownKey }: LeaseSnapshot): string[] {
  const found: string[] = [];
  for (const [key, lease] of leases) {
    const theirs = family === 4 ? lease.publicIp : lease.publicIpv6;
    const theirSubnet = family === 4 ? lease.subnet : lease.ipv6Subnet;
    if (key === ownKey || theirs === undefined || !sameIp(theirs, publicIp)) continue;
    if (theirSubnet !== undefined && samePrefix(theirSubnet, subnet)) continue; // our own lease under another key
    found.push(
      `${formatIp(publicIp)} is published by ${node} and by ${key}, so packets for one of them reach the other. Remove ` +
        `the lease of ${key} if that node is gone, or give one of the two another address`,
    );
  }
  return found;
}
