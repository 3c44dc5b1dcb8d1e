// Who keeps what two leases claim (a subnet, a VtepMAC, an address): the one the store had first. Every node reads the
// same order out of the store, whatever order the leases arrive in, so all nodes agree on the winner.

import { overlaps } from '../../lib/ip.ts';
import type { Lease } from './manager.ts';

export interface Claimant {
  readonly key: string;
  readonly created?: string | undefined;
}

/** Sorts the one that was in the store first to the front. Leases of unknown age come last, in the order of their keys. */
export function byCreation(a: Claimant, b: Claimant): number {
  if (a.created !== b.created) {
    if (a.created === undefined) return 1;
    if (b.created === undefined) return -1;
    return a.created < b.created ? -1 : 1;
  }
  if (a.key === b.key) return 0;
  return a.key < b.key ? -1 : 1;
}

/** The leases, the eldest first. */
export function inOrderOfCreation(leases: ReadonlyMap<string, Lease>): (readonly [string, Lease])[] {
  const claimant = ([key, { created }]: readonly [string, Lease]): Claimant => ({ key, created });
  return [...leases].sort((a, b) => byCreation(claimant(a), claimant(b)));
}

/** Whether two leases claim the same addresses. */
export function claimSame(a: Lease, b: Lease): boolean {
  if (a.subnet && b.subnet && overlaps(a.subnet, b.subnet)) return true;
  return a.ipv6Subnet !== undefined && b.ipv6Subnet !== undefined && overlaps(a.ipv6Subnet, b.ipv6Subnet);
}
