// Writes the agent's tables with nft(8) and keeps them correct: a listing shows whether a table is, and one transaction corrects it.
// Differs from flannel: rules are checked again (D25), only enabled families are changed (#1906), and nothing that is correct is flushed
// (#2237).

import { ExecError } from '../../lib/exec-node.ts';
import type { Family } from '../../lib/ip.ts';
import { type BaseChain, listBaseChains } from '../../lib/netfilter/base-chains.ts';
import type { RulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Check } from '../health/http-server.ts';
import type { Logger } from '../health/log.ts';
import type { FirewallStatus } from '../health/status/report.ts';
import type { Firewall, FirewallOptions } from './firewall.ts';
import { generationOf, rightAfterChange } from './firewall-check.ts';
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

/** A table that must be written, or flannel's table that must be removed. */
interface WrongTable {
  readonly table: Table;
  readonly listed: string | undefined;
  readonly isRight: boolean;
  /** The name of flannel's table. */
  readonly leftover: string | undefined;
}

/** The name of what a guard that sees MACs needs, among the families' names. */
const MACS = 'macs';

/** The tables of every enabled family. */
export class NftablesFirewall implements Firewall {
  readonly #nft: Nft;
  readonly #log: Logger;
  readonly #options: FirewallOptions;
  readonly #drift: DriftNotes | undefined;
  /** Families whose table has been right since the start. */
  readonly #seenRight = new Set<string>();
  #tables: readonly Table[];
  /** What kernel and nft lack, by name; undefined as long as they have refused nothing. */
  #lacking: ReadonlySet<string> | undefined;
  /** Whether nothing has been written and checked yet. */
  #isFirst = true;
  /** How this nft lists a table that we wrote, where it spells it differently. */
  readonly #asListed = new Map<string, string>();
  readonly #why: string;
  readonly #refusal: ForwardRefusal;
  /** The rules that keep the tunnel from being used against the node. */
  readonly #tunnel: TunnelKeeper | undefined;
  readonly #interest: ReturnType<typeof interestIn>;
  /** The number of the rule set in which all our tables were correct: while it is the same, they need not be listed. */
  #rightIn: number | undefined;

  constructor(options: FirewallOptions, why: string, { nft, find, log, drift }: NftablesTools) {
    const { families } = options;
    this.#options = options;
    this.#why = why;
    this.#nft = nft;
    this.#log = log;
    this.#drift = drift;
    const netlink = options.tunnel?.netfilter.netlink;
    const listChains = (): BaseChain[] => (netlink === undefined ? [] : listBaseChains(netlink));
    this.#refusal = new ForwardRefusal(families, find, listChains, { log, drift });
    this.#tunnel = options.tunnel && new TunnelKeeper(options.tunnel, { nft, log, drift });
    const chains = families.flatMap((config) => iptablesChains({ ...config, fullyRandom: false }));
    this.#interest = interestIn(
      [...families, ...(options.tunnel === undefined ? [] : [options.tunnel])].map(({ vni }) => tableName(vni)),
      chains,
    );
    this.#tables = this.#wantedTables();
  }

  /** Makes the tables right; resolves to whether it changed anything. Rejects with ExecError. */
  async ensure(): Promise<boolean> {
    const first = this.#isFirst;
    const isUnchanged = this.#rightIn !== undefined && this.#rightIn === this.#generation();
    let changed = !isUnchanged && (await this.#ensureTables(first));
    if (await this.#ensureElements()) changed = true;
    if (first && (await this.#removeIdleLeftovers(this.#tables))) changed = true;
    this.#isFirst = false;
    if (await this.#refusal.ensure()) changed = true;
    return changed;
  }

  /** Makes the guard's sets right, in one transaction. If that was the only change of the rule set, the tables are still right. */
  async #ensureElements(): Promise<boolean> {
    const before = this.#generation();
    const changed = (await this.#tunnel?.ensureElements()) === true;
    if (changed) this.#rightIn = rightAfterChange(this.#rightIn, before, this.#generation());
    return changed;
  }

  status(): FirewallStatus {
    const tables = this.#tables.filter(({ family, chains }) => chains.length > 0 && this.#seenRight.has(family));
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

  /** The tables, without what kernel and nft lack. */
  #wantedTables(): Table[] {
    const { families, fullyRandom } = this.#options;
    const has = (name: string): boolean => this.#lacking?.has(name) !== true;
    const tables = families.map((config) =>
      firewallTable({ ...config, fullyRandom: fullyRandom && has(nftFamily(config.family)) }),
    );
    return [...tables, ...(this.#tunnel?.tables(has(MACS)) ?? [])];
  }

  /**
   * Call when nft refused the tables: finds out what it or the kernel lacks, and leaves that out of the tables from then on. Resolves to
   * whether there was anything. It is not asked before, because each call of nft takes milliseconds, and current ones lack nothing.
   */
  async #leaveOutLacking(): Promise<boolean> {
    if (this.#lacking !== undefined) return false;
    this.#lacking = await this.#findLacking();
    for (const { family } of this.#options.families) {
      if (!this.#lacking.has(nftFamily(family))) continue;
      this.#log.warn({ family }, 'kernel or nft has no fully-random masquerade, plain masquerade is used');
    }
    this.#tables = this.#wantedTables();
    return this.#lacking.size > 0;
  }

  async #findLacking(): Promise<ReadonlySet<string>> {
    const { families, fullyRandom } = this.#options;
    const random = families.filter(({ masquerade }) => fullyRandom && masquerade).map(({ family }) => family);
    const probes = new Map<string, string>(random.map((family) => [nftFamily(family), randomProbe(family)]));
    const macs = this.#tunnel?.probe;
    if (macs !== undefined) probes.set(MACS, macs);
    const lacking = new Set<string>();
    for (const [name, script] of probes) if (!(await this.#nft.accepts(script))) lacking.add(name);
    return lacking;
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

  /** Lists the tables, writes those that are not right, and then lists them again. */
  async #ensureTables(takeOver: boolean): Promise<boolean> {
    // The number is read before the tables, so that a change during the listing is noticed the next time.
    let generation = this.#generation();
    let wrong = await this.#findWrong(this.#tables, takeOver);
    const changed = wrong.length > 0;
    if (changed) {
      const fresh = new Set(wrong.map(({ table }) => table.family).filter((family) => !this.#seenRight.has(family)));
      await this.#write(wrong, takeOver);
      generation = this.#generation();
      wrong = await this.#findWrong(this.#tables, false, fresh);
    }
    this.#rightIn = wrong.length === 0 ? generation : undefined;
    return changed;
  }

  /**
   * The tables that are not correct. For the families in `fresh` the table has just been written for the first time, so nft's listing of it
   * is regarded as correct. This is not done after later writes, because then another program that keeps changing our table may already
   * have changed it again.
   */
  async #findWrong(tables: readonly Table[], takeOver: boolean, fresh?: ReadonlySet<string>): Promise<WrongTable[]> {
    const wrong: WrongTable[] = [];
    for (const table of tables) {
      const { family, name } = table;
      const flannels = takeOver ? FLANNEL_TABLES[family] : undefined;
      const hasLeftover = flannels !== undefined && (await this.#nft.list(family, flannels)) !== undefined;
      const listed = await this.#nft.list(family, name);
      if (fresh?.has(family) && listed !== undefined) this.#asListed.set(family, listingFingerprint(listed));
      const isRight = this.#isRight(table, listed);
      if (isRight) this.#seenRight.add(family);
      if (!isRight || hasLeftover) wrong.push({ table, listed, isRight, leftover: hasLeftover ? flannels : undefined });
    }
    return wrong;
  }

  /**
   * Writes all in one transaction. If that is refused, what kernel and nft lack is left out. If they lack nothing, each table has its own
   * transaction, so that an error names the one that cannot be written.
   */
  async #write(wrong: readonly WrongTable[], takeOver: boolean): Promise<void> {
    if (wrong.length === 0) return;
    try {
      await this.#apply(wrong);
    } catch (error) {
      if (isRefusal(error) && (await this.#leaveOutLacking())) {
        await this.#write(await this.#findWrong(this.#tables, takeOver), takeOver);
        return;
      }
      if (wrong.length === 1) throw error;
      for (const one of wrong) await this.#apply([one]);
    }
  }

  /** One transaction removes flannel's table and writes ours, so that no packet passes without rules. */
  async #apply(wrong: readonly WrongTable[]): Promise<void> {
    const scripts = wrong.map(({ table, isRight, leftover }) => {
      const ours = isRight ? '' : renderTable(table, this.#tunnel?.elementsOf(table));
      return leftover === undefined ? ours : `${ours}delete table ${table.family} ${leftover}\n`;
    });
    await this.#nft.apply(scripts.join(''));
    for (const [at, one] of wrong.entries()) this.#applied(one, command(scripts[at] ?? ''));
  }

  #applied({ table, listed, isRight, leftover }: WrongTable, cmd: string): void {
    const place = `${table.family} ${table.name}`;
    const msg = listed === undefined ? 'firewall table written' : 'firewall table rewritten';
    this.#log.info({ table: place, cmd }, leftover === undefined ? msg : `${msg}, flannel's removed`);
    if (isRight) return;
    this.#tunnel?.written(table);
    if (!this.#seenRight.has(table.family)) return;
    const was = listed === undefined ? 'missing' : 'changed';
    this.#drift?.note({ object: 'firewall', place, what: 'table', was, cmd });
  }

  #isRight(table: Table, listed: string | undefined): boolean {
    if (table.chains.length === 0) return listed === undefined;
    if (listed === undefined) return false;
    const print = listingFingerprint(listed);
    return print === fingerprint(table) || print === this.#asListed.get(table.family);
  }

  /** Undefined where the kernel has no nftables; then nft says so. */
  #generation(): number | undefined {
    const netlink = this.#options.tunnel?.netfilter.netlink;
    return netlink && generationOf(netlink);
  }
}

/** Whether nft itself refused; it may also be missing, or not have ended in time, and then says nothing about the script. */
function isRefusal(error: unknown): boolean {
  return error instanceof ExecError && error.code.startsWith('exit ');
}

/** A script with what a random masquerade needs, for nft to check. */
function randomProbe(family: Family): string {
  const probe = `${nftFamily(family)} weft-probe`;
  const chain = 'postrouting { type nat hook postrouting priority srcnat; }';
  return `add table ${probe}\nadd chain ${probe} ${chain}\nadd rule ${probe} postrouting masquerade fully-random\n`;
}
