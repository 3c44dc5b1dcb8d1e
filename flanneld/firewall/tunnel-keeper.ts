// The guard's part in keeping nftables right: which tables the node can have, who is in the sets of peers, and what to
// tell of strangers. The tables themselves are compared and written with the others, in nftables.ts.

import { OpError } from '../../lib/errors.ts';
import type { RulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import type { GuardStatus } from '../health/status/report.ts';
import type { TunnelWish } from './firewall.ts';
import { guardReport } from './guard-report.ts';
import { command, type Nft } from './nft-program.ts';
import { type Elements, type Table, tableName } from './nft-table.ts';
import { PeerSets } from './peer-sets.ts';
import { claimsProbe, type GuardConfig, tunnelTables } from './tunnel-rules.ts';

export interface KeeperTools {
  readonly nft: Nft;
  readonly log: Logger;
  readonly drift: DriftNotes | undefined;
}

export class TunnelKeeper {
  readonly #wish: TunnelWish;
  readonly #tools: KeeperTools;
  /** Undefined: no guard. */
  readonly #peers: PeerSets | undefined;
  #seesMacs = false;
  #watchedSinceMs = Date.now();

  constructor(wish: TunnelWish, tools: KeeperTools) {
    this.#wish = wish;
    this.#tools = tools;
    const { netfilter, leases } = wish;
    const isGuarded = wish.guard !== 'off' && wish.port !== undefined;
    this.#peers = isGuarded ? new PeerSets({ table: this.#table, netfilter, leases }) : undefined;
  }

  get #table(): string {
    return tableName(this.#wish.vni);
  }

  /** Which tables there should be. */
  async tables(): Promise<Table[]> {
    const { guard: mode, port, isVxlan } = this.#wish;
    if (mode === 'off' || port === undefined) return tunnelTables({ ...this.#wish, guard: undefined });
    this.#seesMacs = isVxlan && (await this.#tools.nft.accepts(claimsProbe()));
    const guard: GuardConfig = { mode, port, isVxlan, seesMacs: this.#seesMacs };
    return tunnelTables({ ...this.#wish, guard });
  }

  /** What belongs into the sets of a table that is written. */
  elementsOf({ family }: Table): Elements | undefined {
    return family === 'inet' ? this.#peers?.elements() : undefined;
  }

  /** A table was written, with what belongs into its sets. */
  written({ family }: Table): void {
    if (family !== 'inet') return;
    this.#peers?.written();
    this.#watchedSinceMs = Date.now();
  }

  /** Reads the sets and makes them right; resolves to whether anything had to be changed. Rejects with OpError. */
  async ensureElements(): Promise<boolean> {
    if (this.#peers === undefined) return false;
    const result = this.#peers.compare();
    if (result === undefined) {
      await this.#tools.nft.apply(this.#peers.rewrite());
      this.#peers.written();
      return true;
    }
    if (result.byOthers) this.#note();
    return result.changed;
  }

  #note(): void {
    const place = `inet ${this.#table}`;
    const cmd = command(`list set ${place} peers4; list set ${place} peers6`);
    this.#tools.log.info({ table: place, cmd }, 'peers of the guard put right');
    this.#tools.drift?.note({ object: 'firewall', place, what: 'peers of the guard', was: 'changed', cmd });
  }

  /** As Firewall.followLeases. */
  followLeases(): boolean | undefined {
    try {
      return this.#peers === undefined ? false : this.#peers.follow();
    } catch (error) {
      if (error instanceof OpError) return undefined; // somebody has changed more than the leases: look at all of it
      throw error;
    }
  }

  /** Whether an event tells of our own change of the sets. */
  isOwn({ by }: RulesetEvent): boolean {
    return by === this.#wish.netfilter.portId;
  }

  report(): GuardStatus {
    const { netfilter, guard, leases } = this.#wish;
    return guardReport({
      netlink: netfilter.netlink,
      table: { family: 'inet', name: this.#table },
      mode: this.#peers === undefined ? 'off' : guard,
      seesMacs: this.#seesMacs,
      leases: leases(),
      watchedSinceMs: this.#watchedSinceMs,
      nowMs: Date.now(),
    });
  }
}
