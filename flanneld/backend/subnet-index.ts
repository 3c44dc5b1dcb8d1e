// Finds leases whose subnets overlap.

import { type IpPrefix, networkOf } from '../../lib/ip.ts';
import { type ObjectKey, prefixKey } from '../dataplane/objects/kind.ts';

/**
 * The subnets kept so far, of one family and without host bits, with their keys. Almost all have the same length, so a search is one
 * look-up.
 */
export class SubnetIndex {
  /** All prefix lengths in use, shortest first. */
  readonly #lengths: readonly number[];
  /** Not those of the longest length in use, because no other lies inside them. */
  readonly #kept = new Map<ObjectKey, string>();
  /** For each prefix length in use: the prefixes of that length that contain a kept subnet, and the key of that subnet. */
  readonly #covering = new Map<ObjectKey, string>();

  constructor(all: readonly IpPrefix[]) {
    this.#lengths = [...new Set(all.map((subnet) => subnet.length))].sort((a, b) => a - b);
  }

  /** The key of a kept subnet that contains this one, else of one that lies inside it. */
  findOverlap(subnet: IpPrefix): string | undefined {
    for (const length of this.#lengths) {
      if (length >= subnet.length) break;
      const around = this.#kept.get(prefixKey(networkOf({ ip: subnet.ip, length })));
      if (around !== undefined) return around;
    }
    return this.#covering.get(prefixKey(subnet));
  }

  add(subnet: IpPrefix, key: string): void {
    const own = prefixKey(subnet);
    if (subnet.length !== this.#lengths.at(-1)) this.#kept.set(own, key);
    for (const length of this.#lengths) {
      if (length > subnet.length) break;
      const covering = length === subnet.length ? own : prefixKey(networkOf({ ip: subnet.ip, length }));
      if (!this.#covering.has(covering)) this.#covering.set(covering, key);
    }
  }
}
