// Which subnet a node gets: the one it had wherever it can, else a free one by chance (flannel's local manager:
// up to 100 free ones from the start of the range, one of them at random).

import type { Ip, IpPrefix } from '../../lib/ip.ts';
import { addressBits, addToIp, compareIp, overlaps } from '../../lib/ip.ts';
import type { SubnetPool } from '../../lib/subnet-pool.ts';
import { poolHolds } from '../../lib/subnet-pool.ts';

const CANDIDATE_LIMIT = 100;

/** What other leases claim. */
export interface Taken {
  readonly all: readonly IpPrefix[];
  /** Only by leases that other nodes use. */
  readonly fitting: readonly IpPrefix[];
  /** Only by those of them that the store had before this node's lease; undefined when this node has none. */
  readonly byElders: readonly IpPrefix[] | undefined;
}

/**
 * The subnet this node gets: the one it `had` unless an elder lease claims it too, else that of `before` (an earlier run),
 * else a free one. What only leases claim that every node refuses is taken when nothing else is left: such a lease must not
 * be able to use a network up. Undefined when there is none.
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
 * The first of `wanted` that the pool holds and nothing of `taken` overlaps, else a free subnet; undefined when there
 * is none. `random` is 0 ≤ r < 1.
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
  // Almost every lease is of the pool's own length: those are looked up, only wider ones are walked through.
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
