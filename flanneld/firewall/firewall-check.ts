// Decides when the rules must be listed. nftables has a generation number that every change of rules increases. Reading it takes
// microseconds, while a listing takes several programs and all peers of the guard. A change to our rules also causes an event, which is a
// reason to list them. If only the number has changed, somebody has changed other rules.

import { OpError } from '../../lib/errors.ts';
import { readGeneration } from '../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { Firewall } from './firewall.ts';

/** How often the rules are listed when only the number has changed, in case an event was missed. */
const UNTOLD_MS = 60_000;

export class FirewallLook {
  readonly #firewall: Pick<Firewall, 'ensure' | 'followLeases' | 'mustLook'>;
  readonly #netfilter: Netlink;
  readonly #now: () => number;
  /** The generation number at which everything was correct. */
  #rightIn: number | undefined;
  #untoldMs = Number.NEGATIVE_INFINITY;

  /** `netfilter` is a connection to NETLINK_NETFILTER. */
  constructor(firewall: Pick<Firewall, 'ensure' | 'followLeases' | 'mustLook'>, netfilter: Netlink, now: () => number) {
    this.#now = now;
    this.#firewall = firewall;
    this.#netfilter = netfilter;
  }

  /**
   * Reads, compares and changes the rules. Without a reason it does so only if the generation has changed, and once a minute at most. If
   * only the leases have changed, it updates only what depends on them. An event is ignored if the generation is still the one in which
   * everything was correct, because then the event is about an earlier change. Rejects with OpError.
   */
  async run(reasons: ReadonlySet<string>): Promise<void> {
    const isLeases = reasons.size === 1 && reasons.has('leases');
    if (isLeases && this.#rightIn !== undefined && this.#follow(this.#rightIn)) return;
    await this.#look(
      [...reasons].some((reason) => reason !== 'event'),
      reasons.has('event'),
    );
  }

  /** Updates what depends on the leases. If ours was the only change of the rule set, everything is still correct. */
  #follow(rightIn: number): boolean {
    const before = this.#generation();
    const changed = this.#firewall.followLeases();
    if (changed === undefined) return false;
    if (changed) this.#rightIn = rightAfterChange(rightIn, before, this.#generation());
    return true;
  }

  async #look(hasReason: boolean, wasTold: boolean): Promise<void> {
    const rightIn = this.#rightIn;
    const generation = this.#generation();
    const mustLook = hasReason || this.#firewall.mustLook() || generation === undefined || rightIn === undefined;
    if (!mustLook && generation === rightIn) return;
    const isUntold = !mustLook && !wasTold;
    if (isUntold && this.#now() - this.#untoldMs < UNTOLD_MS) return;
    if (isUntold) this.#untoldMs = this.#now();
    this.#rightIn = undefined;
    // After a change the rules are checked a second time without a pause. Otherwise the event about our own change would start that
    // check a moment later.
    if (await this.#ensure()) await this.#ensure();
  }

  /** Resolves to whether it changed anything. */
  async #ensure(): Promise<boolean> {
    // The number is read before the check, so that a change during the check is noticed the next time.
    const generation = this.#generation();
    const changed = await this.#firewall.ensure();
    if (!changed) this.#rightIn = generation;
    return changed;
  }

  #generation(): number | undefined {
    return generationOf(this.#netfilter);
  }
}

/** The number of the rule set; undefined where the kernel has no nftables. */
export function generationOf(netfilter: Netlink): number | undefined {
  try {
    return readGeneration(netfilter);
  } catch (error) {
    if (error instanceof OpError) return undefined;
    throw error;
  }
}

/**
 * The generation in which the rules are right, after a transaction of ours between the generations `before` and `after`: the new one if that
 * was the only change of the rule set, otherwise still `rightIn`, so that they are checked.
 */
export function rightAfterChange(
  rightIn: number | undefined,
  before: number | undefined,
  after: number | undefined,
): number | undefined {
  const isOnlyOurs = before !== undefined && before === rightIn && after === next(before);
  return isOnlyOurs ? next(before) : rightIn;
}

/** The generation number after one transaction: 32 bits, never 0 (net/netfilter/nf_tables_api.c). */
function next(generation: number): number {
  return (generation + 1) % 2 ** 32 || 1;
}
