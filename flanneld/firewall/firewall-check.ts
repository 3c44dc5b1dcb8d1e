// Decides when the rules must be listed. nftables has a generation number that every change of rules increases. Reading it takes
// microseconds, while a listing takes two programs, which an idle agent would otherwise start every few seconds.

import { OpError } from '../../lib/errors.ts';
import { readGeneration } from '../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { Firewall } from './firewall.ts';

export class FirewallLook {
  readonly #firewall: Pick<Firewall, 'ensure' | 'followLeases' | 'mustLook'>;
  readonly #netfilter: Netlink;
  /** The generation number at which everything was right. */
  #rightIn: number | undefined;

  /** `netfilter` is a connection to NETLINK_NETFILTER. */
  constructor(firewall: Pick<Firewall, 'ensure' | 'followLeases' | 'mustLook'>, netfilter: Netlink) {
    this.#firewall = firewall;
    this.#netfilter = netfilter;
  }

  /**
   * Reads, compares and changes the rules. Without a reason it does so only if the generation has changed. If only the leases
   * have changed, it updates only what depends on them. Rejects with OpError.
   */
  async run(reasons: ReadonlySet<string>): Promise<void> {
    const isLeases = reasons.size === 1 && reasons.has('leases');
    if (isLeases && this.#rightIn !== undefined && this.#follow(this.#rightIn)) return;
    await this.#look(reasons.size > 0);
  }

  /** Updates what depends on the leases. If ours was the only change of the rule set, everything is still right. */
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
    // The number was read before the check, so that a change during the check is noticed the next time.
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

/** The generation number after one transaction: 32 bits, never 0 (net/netfilter/nf_tables_api.c). */
function next(generation: number): number {
  return (generation + 1) % 2 ** 32 || 1;
}
