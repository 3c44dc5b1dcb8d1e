// Makes a lease of a Node: its podCIDRs and what its annotations advertise. Annotations are read strictly, because anybody
// who may write Nodes may have written them.

import { ConfigError, errorText } from '../../../lib/errors.ts';
import type { Family, Ip, IpPrefix } from '../../../lib/ip.ts';
import { containsPrefix, formatPrefix, networkOf, parseIp, parsePrefix, sameIp } from '../../../lib/ip.ts';
import type { JsonValue } from '../../../lib/json.ts';
import { parseJson } from '../../../lib/json.ts';
import type { NetConf } from '../../../lib/net-conf.ts';
import { hostAddressesIn, MAX_LEASE_BYTES } from '../lease-file.ts';
import type { Lease } from '../manager.ts';
import { type Annotations, MOVE_DATA } from './annotations.ts';
import type { NodeRecord } from './node.ts';

/** The families that are read. Annotations of a disabled family are ignored. */
export type Families = Pick<NetConf, 'enableIpv4' | 'enableIpv6'>;

export interface PodSubnets {
  readonly subnet?: IpPrefix;
  readonly ipv6Subnet?: IpPrefix;
}

/** The node's subnets of the enabled families; throws ConfigError for an invalid podCIDR. */
export function podSubnets(podCidrs: readonly string[], { enableIpv4, enableIpv6 }: Families): PodSubnets {
  if (podCidrs.length > 2) {
    throw new ConfigError('podCIDRs', '', 'pod cidrs should be IPv4/IPv6 only or dualstack, got more than two');
  }
  const prefixes = podCidrs.map((text) => {
    try {
      return networkOf(parsePrefix(text));
    } catch (error) {
      throw new ConfigError('podCIDR', '', errorText(error));
    }
  });
  const subnet = prefixes.find(({ ip }) => enableIpv4 && ip.family === 4);
  const ipv6Subnet = prefixes.find(({ ip }) => enableIpv6 && ip.family === 6);
  return { ...(subnet && { subnet }), ...(ipv6Subnet && { ipv6Subnet }) };
}

/** A peer's lease. Throws ConfigError naming the annotation, its value and what is allowed. */
export function leaseOfNode(node: NodeRecord, families: Families): Lease {
  const { annotations, podCidrs, addresses, creationTimestamp, uid } = node;
  const subnets = podSubnets(podCidrs ?? [], families);
  if (subnets.subnet === undefined && subnets.ipv6Subnet === undefined) {
    throw new ConfigError('podCIDR', '', 'pod cidr not assigned in a family that is enabled');
  }
  const publicIp = families.enableIpv4 ? readIp(annotations, 'public-ip', 4) : undefined;
  const publicIpv6 = families.enableIpv6 ? readIp(annotations, 'public-ipv6', 6) : undefined;
  const hostAddresses = hostAddressesIn(addresses ?? []).filter(
    (ip) => !(publicIp && sameIp(ip, publicIp)) && !(publicIpv6 && sameIp(ip, publicIpv6)),
  );
  return {
    backendType: (annotations.get('backend-type') ?? '').slice(0, 64),
    ...subnets,
    // Only the API server writes these two. The uid decides between Nodes made in the same second.
    ...(creationTimestamp !== '' && { created: `${creationTimestamp} ${uid}` }),
    ...(publicIp && { publicIp }),
    ...(publicIpv6 && { publicIpv6 }),
    ...(hostAddresses.length > 0 && { hostAddresses }),
    ...backendDataOf(annotations, families),
  };
}

function backendDataOf(annotations: Annotations, families: Families): Partial<Lease> {
  const backendData = families.enableIpv4 ? readData(annotations, 'backend-data') : undefined;
  const backendV6Data = families.enableIpv6 ? readData(annotations, 'backend-v6-data') : undefined;
  const moveData = readData(annotations, MOVE_DATA);
  return {
    ...(backendData !== undefined && { backendData }),
    ...(backendV6Data !== undefined && { backendV6Data }),
    ...(moveData !== undefined && { moveData }),
  };
}

function readIp(annotations: Annotations, name: string, family: Family): Ip | undefined {
  const text = annotations.get(name);
  if (text === undefined || text === '') return undefined;
  let ip: Ip | undefined;
  try {
    ip = parseIp(text);
  } catch {
    ip = undefined;
  }
  if (ip?.family === family) return ip;
  throw new ConfigError(
    'annotation',
    name,
    `expected an IPv${family} address, got ${JSON.stringify(text.slice(0, 64))}`,
  );
}

/** flannel writes the text `null` where a backend has no data. */
function readData(annotations: Annotations, name: string): JsonValue | undefined {
  const text = annotations.get(name);
  if (text === undefined || text === '') return undefined;
  if (text.length > MAX_LEASE_BYTES)
    throw new ConfigError('annotation', name, `is larger than ${MAX_LEASE_BYTES} bytes`);
  try {
    return parseJson(text) ?? undefined;
  } catch (error) {
    throw new ConfigError('annotation', name, errorText(error));
  }
}

/**
 * What is wrong with this node's own podCIDRs, in flannel's words because people search for these; undefined when nothing is.
 * Differs from flannel (D5): this is checked before anything is published.
 */
export function findPodCidrProblem(node: string, subnets: PodSubnets, config: NetConf): string | undefined {
  const checks = [
    { on: config.enableIpv4, name: 'IPv4', network: config.network, subnet: subnets.subnet },
    { on: config.enableIpv6, name: 'IPv6', network: config.ipv6Network, subnet: subnets.ipv6Subnet },
  ];
  for (const { on, name, network, subnet } of checks) {
    if (!on || network === undefined) continue;
    if (subnet === undefined) {
      return `node "${node}" pod cidr not assigned for ${name}, which the flannel net config enables`;
    }
    if (!containsPrefix(network, subnet)) {
      const [outer, inner] = [formatPrefix(network), formatPrefix(subnet)];
      return (
        `subnet "${outer}" specified in the flannel net config doesn't contain "${inner}" PodCIDR of the "${node}" ` +
        `node: make ${name === 'IPv4' ? 'Network' : 'IPv6Network'} the controller manager's --cluster-cidr`
      );
    }
  }
  return undefined;
}
