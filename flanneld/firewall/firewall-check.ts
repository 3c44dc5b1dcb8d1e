// Looking at the rules without a reason only when they can have changed. nftables numbers its rule sets, and the number
// is known in microseconds, where a listing takes two programs: an idle agent would start them every few seconds.

import { OpError } from '../../lib/errors.ts';
import { readGeneration } from '../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { Firewall } from './firewall.ts';

export class FirewallLook {
  readonly #firewall: Pick<Firewall, 'ensure' | 'followLeases' | 'mustLook'>;
  readonly #netfilter: Netlink;
  /** Number of the rule set in which all was right. */
  #rightIn: number | undefined;

  /** `netfilter` is a connection to NETLINK_NETFILTER. */
  constructor(firewall: Pick<Firewall, 'ensure' | 'followLeases' | 'mustLook'>, netfilter: Netlink) {
    this.#firewall = firewall;
    this.#netfilter = netfilter;
  }

  /**
   * Reads, compares, changes; without a reason to, only when something has changed, and for the leases alone only what
   * follows from them. Rejects with OpError.
   */
  async run(reasons: ReadonlySet<string>): Promise<void> {
    const isLeases = reasons.size === 1 && reasons.has('leases');
    if (isLeases && this.#rightIn !== undefined && this.#follow(this.#rightIn)) return;
    await this.#look(reasons.size > 0);
  }

  /** What was right still is when ours was the only change. */
  #follow(rightIn: number): boolean {
    const before = this.#generation();
    const changed = this.#firewall.followLeases();
    if (changed === undefined) return false;
    if (changed) this.#rightIn = before === rightIn && this.#generation() === next(rightIn) ? next(rightIn) : undefined;
    return true;
  }

  async #look(hasReason: boolean): Promise<void> {
    const rightIn = this.#rightIn;
    this.#rightIn = undefined;
    const generation = this.#firewall.mustLook() ? undefined : this.#generation();
    const isSame = !hasReason && generation !== undefined && generation === rightIn;
    // Read before the look: what changes during it makes another number.
    if (isSame || !(await this.#firewall.ensure())) this.#rightIn = generation;
  }

  #generation(): number | undefined {
    try {
      return readGeneration(this.#netfilter);
    } catch (error) {
      if (error instanceof OpError) return undefined;
      throw error;
    }
  }
}

/** The number after a transaction: 32 bits, never 0 (net/netfilter/nf_tables_api.c). */
function next(generation: number): number {
  return (generation + 1) % 2 ** 32 || 1;
}
