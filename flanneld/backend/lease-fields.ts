// Reads the fields of a lease that peers of every backend have: subnet and public IP. Both are checked before use, because
// anybody who may write Nodes, lease files or etcd values may have written them.

import {
  contains,
  containsPrefix,
  type Family,
  formatIp,
  formatPrefix,
  type Ip,
  type IpPrefix,
  isLoopback,
  isMulticast,
  isUnspecified,
  networkOf,
  overlaps,
  samePrefix,
} from '../../lib/ip.ts';
import type { JsonValue } from '../../lib/json.ts';
import type { Lease } from '../subnet/manager.ts';

/** This node's own settings in one family, in the form that every backend uses. */
export interface NodeConfig {
  readonly family: Family;
  readonly network: IpPrefix;
  /** This node's own subnet. */
  readonly subnet: IpPrefix;
  /** The address this node advertises. */
  readonly publicIp: Ip;
}

/** A lease that cannot be a peer, and why. */
export class PeerError extends Error {
  override readonly name = 'PeerError';
}

/** The part of the lease for one family. */
export function familyOf(
  lease: Lease,
  family: Family,
): { subnet: IpPrefix | undefined; publicIp: Ip | undefined; backendData: JsonValue | undefined } {
  return family === 4
    ? { subnet: lease.subnet, publicIp: lease.publicIp, backendData: lease.backendData }
    : { subnet: lease.ipv6Subnet, publicIp: lease.publicIpv6, backendData: lease.backendV6Data };
}

/** Throws PeerError for a subnet that must not be routed. */
export function checkSubnet(subnet: IpPrefix, config: NodeConfig): void {
  const { network, family, subnet: own } = config;
  if (subnet.ip.family !== family) throw subnetError(subnet, `is not IPv${family}`);
  if (!samePrefix(networkOf(subnet), subnet)) throw subnetError(subnet, 'has host bits set');
  if (overlaps(subnet, own)) throw subnetError(subnet, `overlaps this node's ${formatPrefix(own)}`);
  if (!containsPrefix(network, subnet)) throw subnetError(subnet, `is outside the network ${formatPrefix(network)}`);
}

function subnetError(subnet: IpPrefix, problem: string): PeerError {
  return new PeerError(`subnet ${formatPrefix(subnet)} ${problem}`);
}

/** Throws PeerError for an address to which nothing must be sent. */
export function checkPublicIp(publicIp: Ip | undefined, config: NodeConfig): Ip {
  if (publicIp === undefined) throw new PeerError('has no public IP');
  if (publicIp.family !== config.family) throw addressError(publicIp, `is not IPv${config.family}`);
  if (isUnspecified(publicIp) || isLoopback(publicIp) || isMulticast(publicIp) || isBroadcast(publicIp)) {
    throw addressError(publicIp, 'is no unicast address');
  }
  if (publicIp.value === config.publicIp.value) throw addressError(publicIp, "is this node's own");
  // A tunnel whose outer address is routed into the tunnel causes a loop in the kernel.
  if (contains(config.network, publicIp)) {
    throw addressError(publicIp, `lies inside the network ${formatPrefix(config.network)}`);
  }
  return publicIp;
}

function addressError(publicIp: Ip, problem: string): PeerError {
  return new PeerError(`public IP ${formatIp(publicIp)} ${problem}`);
}

function isBroadcast(ip: Ip): boolean {
  return ip.family === 4 && ip.value === 0xffffffffn;
}
