// Which subnets may be leased from a network: flannel's defaults and limits (pkg/subnet/config.go). It is used only by stores in which
// agents choose subnets. Kubernetes chooses podCIDRs itself, and flannel checks nothing there either.

import { ConfigError } from './errors.ts';
import type { Ip, IpPrefix } from './ip.ts';
import {
  addressBits,
  addToIp,
  broadcastOf,
  compareIp,
  contains,
  containsPrefix,
  formatIp,
  formatPrefix,
} from './ip.ts';
import type { NetConf, SubnetKeys } from './net-conf.ts';

/** The subnets of `length` from `first` to `last` (both usable bases), inside `network`. */
export interface SubnetPool {
  readonly network: IpPrefix;
  readonly length: number;
  readonly first: Ip;
  readonly last: Ip;
}

/** The IPv4 pool; undefined when IPv4 is off. Throws ConfigError where flannel refuses, and for Min above Max. */
export function subnetPool(config: NetConf): SubnetPool | undefined {
  return config.network && poolOf('', config.network, config.subnets);
}

/** The IPv6 pool; undefined when IPv6 is off. */
export function ipv6SubnetPool(config: NetConf): SubnetPool | undefined {
  return config.ipv6Network && poolOf('IPv6', config.ipv6Network, config.ipv6Subnets);
}

/**
 * Says what is wrong with the length of a subnet when the cluster's subnets are cut from these pools; undefined when nothing is.
 */
export function findLengthProblem(pools: readonly (SubnetPool | undefined)[], subnet: IpPrefix): string | undefined {
  const pool = pools.find((one) => one?.network.ip.family === subnet.ip.family);
  if (pool === undefined || pool.length === subnet.length) return undefined;
  const key = subnet.ip.family === 4 ? 'SubnetLen' : 'IPv6SubnetLen';
  return `subnet ${formatPrefix(subnet)} has another length than ${key}, expected /${pool.length}`;
}

function poolOf(prefix: string, network: IpPrefix, keys: SubnetKeys): SubnetPool {
  const length = keys.length ?? defaultLength(prefix, network);
  const longest = addressBits(network.ip.family) - 2; // room for a bridge and one pod
  if (length > longest) {
    throw new ConfigError('net-conf', `${prefix}SubnetLen`, `must be less than /${longest + 1}, got ${length}`);
  }
  // The first subnet is never leased, and a cluster has more than one node: four subnets are the least that flannel allows.
  if (length < network.length + 2) {
    throw new ConfigError(
      'net-conf',
      `${prefix}SubnetLen`,
      `network must be able to accommodate at least four subnets: expected at least ${network.length + 2} ` +
        `for ${prefix}Network ${formatPrefix(network)}, got ${length}`,
    );
  }
  const size = 1n << BigInt(addressBits(network.ip.family) - length);
  const first = keys.min ?? addToIp(network.ip, size);
  const last = keys.max ?? addToIp(broadcastOf(network), 1n - size);
  checkBound(prefix, 'SubnetMin', first, network, size);
  checkBound(prefix, 'SubnetMax', last, network, size);
  if (compareIp(first, last) > 0) {
    throw new ConfigError(
      'net-conf',
      `${prefix}SubnetMin`,
      `${formatIp(first)} is above ${prefix}SubnetMax ${formatIp(last)}`,
    );
  }
  return { network, length, first, last };
}

function defaultLength(prefix: string, network: IpPrefix): number {
  const [usual, longest] = network.ip.family === 4 ? [24, 28] : [64, 124];
  if (network.length > longest) {
    throw new ConfigError(
      'net-conf',
      `${prefix}Network`,
      `${prefix === '' ? 'network ' : ''}is too small. Minimum useful network prefix is /${longest}, got ${formatPrefix(network)}`,
    );
  }
  return Math.max(usual, network.length + 2);
}

function checkBound(prefix: string, name: string, bound: Ip, network: IpPrefix, size: bigint): void {
  const key = prefix + name;
  if (!contains(network, bound)) {
    const range = `is not in the range of the ${prefix}Network: expected an address in ${formatPrefix(network)}`;
    throw new ConfigError('net-conf', key, `${range}, got ${formatIp(bound)}`);
  }
  if (bound.value % size !== 0n) {
    const lower = formatIp({ ...bound, value: bound.value - (bound.value % size) });
    const expected = `expected ${lower} or another multiple of the subnet size`;
    throw new ConfigError('net-conf', key, `is not on a SubnetLen boundary: ${expected}, got ${formatIp(bound)}`);
  }
}

/** Whether the pool could give out `subnet`. */
export function poolHolds(pool: SubnetPool, subnet: IpPrefix): boolean {
  return (
    subnet.length === pool.length &&
    containsPrefix(pool.network, subnet) &&
    compareIp(pool.first, subnet.ip) <= 0 &&
    compareIp(subnet.ip, pool.last) <= 0
  );
}
