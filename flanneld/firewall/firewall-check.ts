// Looking at the rules without a reason only when they can have changed. nftables numbers its rule sets, and the number
// is known in microseconds, where a listing takes two programs: an idle agent would start them every few seconds.

import { OpError } from '../../lib/errors.ts';
import { readGeneration } from '../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { Firewall } from './firewall.ts';

export class FirewallLook {
  readonly #firewall: Pick<Firewall, 'ensure' | 'mustLook'>;
  readonly #netfilter: Netlink;
  /** Number of the rule set in which all was right. */
  #rightIn: number | undefined;

  /** `netfilter` is a connection to NETLINK_NETFILTER. */
  constructor(firewall: Pick<Firewall, 'ensure' | 'mustLook'>, netfilter: Netlink) {
    this.#firewall = firewall;
    this.#netfilter = netfilter;
  }

  /** Reads, compares, changes; without a reason to, only when something has changed. Rejects with OpError. */
  async run(hasReason: boolean): Promise<void> {
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
