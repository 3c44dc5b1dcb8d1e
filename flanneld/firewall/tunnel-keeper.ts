// The guard's part in nftables: decides which tables the node can have, keeps the sets of peers, and reports strangers.
// nftables.ts compares and writes the tables together with the others.

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
  /** Undefined without a guard. */
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

  /** A script that nft accepts if the guard can see MACs; undefined if it need not. */
  get probe(): string | undefined {
    return this.#peers !== undefined && this.#wish.isVxlan ? claimsProbe() : undefined;
  }

  /** The wanted tables. */
  tables(seesMacs: boolean): Table[] {
    const { guard: mode, port, isVxlan } = this.#wish;
    if (mode === 'off' || port === undefined) return tunnelTables({ ...this.#wish, guard: undefined });
    this.#seesMacs = isVxlan && seesMacs;
    const guard: GuardConfig = { mode, port, isVxlan, seesMacs: this.#seesMacs };
    return tunnelTables({ ...this.#wish, guard });
  }

  /** The elements for the sets of a table that is about to be written. */
  elementsOf({ family }: Table): Elements | undefined {
    return family === 'inet' ? this.#peers?.elements() : undefined;
  }

  /** Call after a table was written with these elements. */
  written({ family }: Table): void {
    if (family !== 'inet') return;
    this.#peers?.written();
    this.#watchedSinceMs = Date.now();
  }

  /** Reads the sets and corrects them; resolves to whether it changed anything. Rejects with OpError. */
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
    this.#tools.log.info({ table: place, cmd }, 'the guard’s set of peers repaired');
    this.#tools.drift?.note({ object: 'firewall', place, what: 'peers of the guard', was: 'changed', cmd });
  }

  /** See Firewall.followLeases. */
  followLeases(): boolean | undefined {
    try {
      return this.#peers === undefined ? false : this.#peers.follow();
    } catch (error) {
      if (error instanceof OpError) return undefined; // somebody has changed the sets, so everything must be checked
      throw error;
    }
  }

  /** Whether an event is about our own change of the sets. */
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
