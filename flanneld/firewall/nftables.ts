// Writes the agent's tables with nft(8) and keeps them right: a listing shows whether a table is right, and one transaction
// corrects it. Differs from flannel: rules are checked again (D25), only enabled families are changed (#1906), and nothing that
// is right is flushed (#2237).

import type { Family } from '../../lib/ip.ts';
import type { RulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Check } from '../health/http-server.ts';
import type { Logger } from '../health/log.ts';
import type { FirewallStatus } from '../health/status/report.ts';
import type { Firewall, FirewallOptions } from './firewall.ts';
import { ForwardRefusal } from './forward-refusal.ts';
import { interestIn, isOfInterest } from './interest.ts';
import type { FindIptables } from './iptables-programs.ts';
import { iptablesChains } from './iptables-table.ts';
import { fingerprint, listingFingerprint } from './listing.ts';
import { command, type Nft } from './nft-program.ts';
import { FLANNEL_TABLES, firewallTable, nftFamily, renderTable, type Table, tableName } from './nft-table.ts';
import { TunnelKeeper } from './tunnel-keeper.ts';

export interface NftablesTools {
  readonly nft: Nft;
  readonly find: FindIptables;
  readonly log: Logger;
  readonly drift: DriftNotes | undefined;
}

/** The tables of every enabled family. */
export class NftablesFirewall implements Firewall {
  readonly #nft: Nft;
  readonly #log: Logger;
  readonly #options: FirewallOptions;
  readonly #drift: DriftNotes | undefined;
  /** Families whose table has been right since the start. */
  readonly #seenRight = new Set<string>();
  #tables: readonly Table[] | undefined;
  /** How this nft lists a table that we wrote, where it spells it differently. */
  readonly #asListed = new Map<string, string>();
  readonly #why: string;
  readonly #refusal: ForwardRefusal;
  /** What keeps the tunnel from being used against the node. */
  readonly #tunnel: TunnelKeeper | undefined;
  readonly #interest: ReturnType<typeof interestIn>;

  constructor(options: FirewallOptions, why: string, { nft, find, log, drift }: NftablesTools) {
    const { families } = options;
    this.#options = options;
    this.#why = why;
    this.#nft = nft;
    this.#log = log;
    this.#drift = drift;
    this.#refusal = new ForwardRefusal(families, find, nft, { log, drift });
    this.#tunnel = options.tunnel && new TunnelKeeper(options.tunnel, { nft, log, drift });
    const chains = families.flatMap((config) => iptablesChains({ ...config, fullyRandom: false }));
    this.#interest = interestIn(
      [...families, ...(options.tunnel === undefined ? [] : [options.tunnel])].map(({ vni }) => tableName(vni)),
      chains,
    );
  }

  /** Makes the tables right; resolves to whether it changed anything. Rejects with ExecError. */
  async ensure(): Promise<boolean> {
    const first = this.#tables === undefined;
    this.#tables ??= await this.#wantedTables();
    let changed = false;
    for (const table of this.#tables) if (await this.#ensureTable(table, first)) changed = true;
    if (await this.#tunnel?.ensureElements()) changed = true;
    if (first && (await this.#removeIdleLeftovers(this.#tables))) changed = true;
    if (await this.#refusal.ensure()) changed = true;
    return changed;
  }

  status(): FirewallStatus {
    const tables = (this.#tables ?? []).filter(
      ({ family, chains }) => chains.length > 0 && this.#seenRight.has(family),
    );
    const places = tables.map(({ family, name }) => `table ${family} ${name}`);
    const guard = this.#tunnel?.report();
    return {
      flavour: 'nftables',
      why: this.#why,
      places: [...places, ...this.#refusal.places()],
      ...(guard && { guard }),
    };
  }

  followLeases(): boolean | undefined {
    return this.#tunnel === undefined ? false : this.#tunnel.followLeases();
  }

  checks(): readonly Check[] {
    return this.#refusal.checks();
  }

  mustLook(): boolean {
    return this.#refusal.mustLook();
  }

  isConcerned(event: RulesetEvent): boolean {
    return isOfInterest(event, this.#interest) && this.#tunnel?.isOwn(event) !== true;
  }

  async #wantedTables(): Promise<Table[]> {
    const { families, fullyRandom } = this.#options;
    const tables: Table[] = [];
    for (const config of families) {
      const random = fullyRandom && config.masquerade && (await this.#takesFullyRandom(config.family));
      tables.push(firewallTable({ ...config, fullyRandom: random }));
    }
    return this.#tunnel === undefined ? tables : [...tables, ...(await this.#tunnel.tables())];
  }

  async #takesFullyRandom(family: Family): Promise<boolean> {
    const probe = `${nftFamily(family)} weft-probe`;
    const chain = 'postrouting { type nat hook postrouting priority srcnat; }';
    const takes = await this.#nft.accepts(
      `add table ${probe}\nadd chain ${probe} ${chain}\nadd rule ${probe} postrouting masquerade fully-random\n`,
    );
    if (!takes) this.#log.warn({ family }, 'kernel or nft has no fully-random masquerade, using plain');
    return takes;
  }

  /** Removes flannel's table of a disabled family: flannel makes the tables of both. */
  async #removeIdleLeftovers(wanted: readonly Table[]): Promise<boolean> {
    let changed = false;
    for (const [family, name] of Object.entries(FLANNEL_TABLES)) {
      if (wanted.some((table) => table.family === family)) continue;
      // A listing fails if the kernel lacks the family; then it has no table of it either.
      const listed = await this.#nft.list(family, name).catch(() => undefined);
      if (listed === undefined) continue;
      const script = `delete table ${family} ${name}\n`;
      await this.#nft.apply(script);
      this.#log.info({ table: `${family} ${name}`, cmd: command(script) }, "flannel's table removed");
      changed = true;
    }
    return changed;
  }

  async #ensureTable(table: Table, takeOver: boolean): Promise<boolean> {
    const flannelTable = FLANNEL_TABLES[table.family];
    const leftover =
      takeOver && flannelTable !== undefined && (await this.#nft.list(table.family, flannelTable)) !== undefined;
    const listed = await this.#nft.list(table.family, table.name);
    const right = this.#isRight(table, listed);
    if (right && !leftover) {
      this.#seenRight.add(table.family);
      return false;
    }
    // One transaction removes flannel's table and writes ours, so that no packet passes without rules.
    const script =
      (right ? '' : renderTable(table, this.#tunnel?.elementsOf(table))) +
      (leftover ? `delete table ${table.family} ${flannelTable}\n` : '');
    await this.#nft.apply(script);
    if (!right) this.#tunnel?.written(table);
    const msg = listed === undefined ? 'firewall table written' : 'firewall table rewritten';
    this.#log.info(
      { table: `${table.family} ${table.name}`, cmd: command(script) },
      leftover ? `${msg}, flannel's removed` : msg,
    );
    const wasRight = this.#seenRight.has(table.family);
    if (!right && wasRight) this.#noteDrift(table, listed, script);
    this.#seenRight.add(table.family);
    if (!wasRight) await this.#learnListing(table);
    return true;
  }

  #noteDrift({ family, name }: Table, listed: string | undefined, script: string): void {
    const was = listed === undefined ? 'missing' : 'changed';
    this.#drift?.note({ object: 'firewall', place: `${family} ${name}`, what: 'table', was, cmd: command(script) });
  }

  #isRight(table: Table, listed: string | undefined): boolean {
    if (table.chains.length === 0) return listed === undefined;
    if (listed === undefined) return false;
    const print = listingFingerprint(listed);
    return print === fingerprint(table) || print === this.#asListed.get(table.family);
  }

  /**
   * Remembers how nft lists the table after the first write, and takes that for right. Not after later writes, because then
   * another program that keeps changing our table may already have changed it again.
   */
  async #learnListing(table: Table): Promise<void> {
    if (table.chains.length === 0) return;
    const listed = await this.#nft.list(table.family, table.name);
    if (listed !== undefined) this.#asListed.set(table.family, listingFingerprint(listed));
  }
}
