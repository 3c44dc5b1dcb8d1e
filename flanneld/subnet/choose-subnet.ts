// Chooses the subnet of a node: the one it had if possible, else a random free one. As flannel's local manager does, it
// picks among the first 100 free ones of the range.

import type { Ip, IpPrefix } from '../../lib/ip.ts';
import { addressBits, addToIp, compareIp, overlaps } from '../../lib/ip.ts';
import type { SubnetPool } from '../../lib/subnet-pool.ts';
import { poolHolds } from '../../lib/subnet-pool.ts';

const CANDIDATE_LIMIT = 100;

/** The subnets that other leases claim. */
export interface Taken {
  readonly all: readonly IpPrefix[];
  /** Only those of leases that the nodes accept. */
  readonly fitting: readonly IpPrefix[];
  /** Only those of accepted leases that are older than this node's; undefined when this node has none. */
  readonly byElders: readonly IpPrefix[] | undefined;
}

/**
 * The subnet this node gets: the one it `had` unless an older lease claims it, too; else that of an earlier run (`before`);
 * else a free one; undefined when there is none. Subnets that only refused leases claim are taken last, so that such
 * leases cannot use the network up.
 */
export function chooseOwnSubnet(
  pool: SubnetPool,
  had: IpPrefix | undefined,
  before: IpPrefix | undefined,
  taken: Taken,
  random: number,
): IpPrefix | undefined {
  const isFree = (subnet: IpPrefix, others: readonly IpPrefix[]): boolean =>
    poolHolds(pool, subnet) && !others.some((other) => overlaps(other, subnet));
  if (had !== undefined && isFree(had, taken.byElders ?? taken.fitting)) return had;
  return chooseSubnet(pool, [before], taken.all, random) ?? chooseSubnet(pool, [before], taken.fitting, random);
}

/**
 * The first of `wanted` that lies in the pool and overlaps nothing in `taken`, else a free subnet; undefined when there is none. `random`
 * returns 0 ≤ r < 1.
 */
export function chooseSubnet(
  pool: SubnetPool,
  wanted: readonly (IpPrefix | undefined)[],
  taken: readonly IpPrefix[],
  random: number,
): IpPrefix | undefined {
  for (const subnet of wanted) {
    if (subnet && poolHolds(pool, subnet) && !taken.some((other) => overlaps(other, subnet))) return subnet;
  }
  const free = freeSubnets(pool, taken);
  return free[Math.floor(random * free.length)];
}

function freeSubnets(pool: SubnetPool, taken: readonly IpPrefix[]): IpPrefix[] {
  const { family } = pool.first;
  const bits = BigInt(addressBits(family) - pool.length);
  // Almost every lease has the pool's length. These are looked up in a set, so that only the few wider ones are searched.
  const narrow = new Set<bigint>();
  const wide: IpPrefix[] = [];
  for (const prefix of taken) {
    if (prefix.ip.family !== family) continue;
    if (prefix.length >= pool.length) narrow.add(prefix.ip.value >> bits);
    else wide.push(prefix);
  }
  const free: IpPrefix[] = [];
  let ip: Ip = pool.first;
  while (compareIp(ip, pool.last) <= 0 && free.length < CANDIDATE_LIMIT) {
    const subnet = { ip, length: pool.length };
    const wider = wide.find((other) => overlaps(other, subnet));
    if (wider === undefined && !narrow.has(ip.value >> bits)) free.push(subnet);
    const next = nextAfter(wider ?? subnet, bits);
    if (next === undefined) break;
    ip = next;
  }
  return free;
}

/** The subnet after `prefix`; undefined where the address space ends. */
function nextAfter(prefix: IpPrefix, bits: bigint): Ip | undefined {
  const size = 1n << BigInt(addressBits(prefix.ip.family) - prefix.length);
  const end = ((prefix.ip.value + size) >> bits) << bits;
  if (end >> BigInt(addressBits(prefix.ip.family)) !== 0n) return undefined;
  return addToIp({ family: prefix.ip.family, value: 0n }, end);
}
