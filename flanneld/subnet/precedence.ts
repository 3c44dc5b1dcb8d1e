// When two leases claim the same subnet, VtepMAC or address, the one that was in the store first keeps it. Every node reads
// the same order from the store, whatever the order in which leases arrive, so all nodes agree on the winner.

import { overlaps } from '../../lib/ip.ts';
import type { Lease } from './manager.ts';

export interface Claimant {
  readonly key: string;
  readonly created?: string | undefined;
}

/** Sorts by age, oldest first. Leases of unknown age come last, in the order of their keys. */
export function byCreation(a: Claimant, b: Claimant): number {
  if (a.created !== b.created) {
    if (a.created === undefined) return 1;
    if (b.created === undefined) return -1;
    return a.created < b.created ? -1 : 1;
  }
  if (a.key === b.key) return 0;
  return a.key < b.key ? -1 : 1;
}

/** The leases with their keys, oldest first. */
export function inOrderOfCreation(leases: ReadonlyMap<string, Lease>): (Claimant & { readonly lease: Lease })[] {
  return Array.from(leases, ([key, lease]) => ({ key, created: lease.created, lease })).sort(byCreation);
}

/** Whether the subnets of two leases overlap. */
export function claimSame(a: Lease, b: Lease): boolean {
  if (a.subnet && b.subnet && overlaps(a.subnet, b.subnet)) return true;
  return a.ipv6Subnet !== undefined && b.ipv6Subnet !== undefined && overlaps(a.ipv6Subnet, b.ipv6Subnet);
}
