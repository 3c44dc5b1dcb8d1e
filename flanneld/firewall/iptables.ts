// The iptables flavour: flannel's chains in the variant of iptables that is in use, for who said that he does not want
// nftables. Differs from flannel: nothing is emptied to be filled again (#2237), the order of rules counts, one process a
// look instead of twenty (#933), and the table of the other flavour goes when ours are in place. What is about the tunnel
// (tunnel-rules.ts) is nftables with this flavour, too.

import { errorText, OpError } from '../../lib/errors.ts';
import type { RulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { Check } from '../health/http-server.ts';
import type { FirewallStatus } from '../health/status/report.ts';
import type { Firewall, FirewallOptions } from './firewall.ts';
import { interestIn, isOfInterest } from './interest.ts';
import { type ChainTools, IptablesChains } from './iptables-chains.ts';
import {
  type FindIptables,
  type FoundIptables,
  type Iptables,
  isIdle,
  isOutOfReach,
  requireIptables,
} from './iptables-programs.ts';
import { iptablesChains, type OwnedChain, unwantedChains } from './iptables-table.ts';
import type { Nft } from './nft-program.ts';
import { FLANNEL_TABLES, nftFamily, tableName } from './nft-table.ts';
import { NftablesFirewall } from './nftables.ts';

export interface IptablesTools extends ChainTools {
  readonly find: FindIptables;
  /** Where it looks, for messages. */
  readonly path: string;
  /** For the tables of the other flavour. */
  readonly nft: Nft;
}

/** One family, with the executables for it. */
interface Part {
  readonly config: FirewallOptions['families'][number];
  readonly found: FoundIptables;
  readonly keeper: IptablesChains;
  readonly chains: readonly OwnedChain[];
}

export class IptablesFirewall implements Firewall {
  readonly #options: FirewallOptions;
  readonly #why: string;
  readonly #tools: IptablesTools;
  readonly #interest: ReturnType<typeof interestIn>;
  #parts: readonly Part[] | undefined;
  /**
   * What iptables cannot do: refuse ARP, and keep strangers in a set that a flood does not fill the log with. nftables does,
   * beside iptables, where this node has it.
   */
  readonly #tunnel: NftablesFirewall | undefined;
  /** Why that is not so. */
  #tunnelProblem: string | undefined;
  #tookOver = false;
  #places: readonly string[] = [];

  constructor(options: FirewallOptions, why: string, tools: IptablesTools) {
    this.#options = options;
    this.#why = why;
    this.#tools = tools;
    const { tunnel } = options;
    this.#tunnel = tunnel && new NftablesFirewall({ families: [], fullyRandom: false, tunnel }, why, tools);
    this.#interest = interestIn(
      [],
      options.families.flatMap((config) => iptablesChains({ ...config, fullyRandom: false })),
    );
  }

  async ensure(): Promise<boolean> {
    this.#parts ??= await Promise.all(this.#options.families.map((config) => this.#open(config)));
    let changed = false;
    for (const { keeper, chains } of this.#parts) {
      if (await keeper.ensure(chains, await keeper.read())) changed = true;
    }
    this.#places = this.#parts.flatMap(({ keeper, chains }) =>
      chains.flatMap(({ table, name, rules }) =>
        rules === undefined ? [] : [`chain ${table} ${name} (${keeper.iptables.name})`],
      ),
    );
    if (!this.#tookOver) await this.#takeOver(this.#parts);
    this.#tookOver = true;
    return (await this.#ensureTunnel()) || changed;
  }

  /** A node without nftables forwards all the same: it is a finding. */
  async #ensureTunnel(): Promise<boolean> {
    try {
      const changed = (await this.#tunnel?.ensure()) ?? false;
      this.#tunnelProblem = undefined;
      return changed;
    } catch (error) {
      if (!(error instanceof OpError)) throw error;
      this.#tunnelProblem = `off, and pods and strangers can change routes and neighbours: ${errorText(error)}`;
      return false;
    }
  }

  async #open(config: Part['config']): Promise<Part> {
    const { find, path, log } = this.#tools;
    const found = await find(config.family);
    const iptables = requireIptables(found, path);
    const fullyRandom = this.#options.fullyRandom && config.masquerade && (await this.#takesFullyRandom(iptables));
    log.info({ iptables: iptables.name, why: found.why, family: config.family }, 'iptables found');
    const keeper = new IptablesChains(iptables, this.#tools);
    return { config, found, keeper, chains: iptablesChains({ ...config, fullyRandom }) };
  }

  /** By trying, not by version: either may be older than the other (flannel #1702). */
  async #takesFullyRandom(iptables: Iptables): Promise<boolean> {
    const probe = '*nat\n:FLANNEL-PROBE - [0:0]\n-A FLANNEL-PROBE -j MASQUERADE --random-fully\nCOMMIT\n';
    const takes = await iptables.accepts(probe);
    if (!takes)
      this.#tools.log.warn({ family: iptables.family }, 'iptables has no --random-fully, using plain MASQUERADE');
    return takes;
  }

  /** Once ours are in place, what the other flavour and the other variant of iptables hold goes: else it decides, too. */
  async #takeOver(parts: readonly Part[]): Promise<void> {
    for (const { config, found, keeper } of parts) {
      for (const other of found.all) {
        if (other === keeper.iptables || isIdle(other) || isOutOfReach(other)) continue;
        const leftovers = new IptablesChains(other, { log: this.#tools.log, drift: undefined });
        await leftovers.ensure(unwantedChains(config.network, config.vni), await leftovers.read());
      }
    }
    const ours = parts.map(({ config }) => [nftFamily(config.family), tableName(config.vni)] as const);
    // flannel makes both of its tables, whatever family is off.
    await this.#removeTables([...ours, ...Object.entries(FLANNEL_TABLES)]);
  }

  async #removeTables(tables: readonly (readonly [family: string, table: string])[]): Promise<void> {
    const { nft, log } = this.#tools;
    try {
      for (const [family, table] of tables) {
        if ((await nft.list(family, table)) === undefined) continue;
        await nft.apply(`delete table ${family} ${table}\n`);
        log.info(
          { table: `${family} ${table}`, cmd: `nft delete table ${family} ${table}` },
          'table of the nftables flavour removed',
        );
      }
    } catch (error) {
      // Without nft, or without nftables in the kernel, there are none.
      if (!(error instanceof OpError)) throw error;
      log.info({ err: errorText(error) }, 'nft does not work here: tables of the nftables flavour are not looked for');
    }
  }

  followLeases(): boolean | undefined {
    return this.#tunnel === undefined || this.#tunnelProblem !== undefined ? false : this.#tunnel.followLeases();
  }

  status(): FirewallStatus {
    const found = this.#parts?.map(({ keeper, found: { why } }) => `${keeper.iptables.name}: ${why}`) ?? [];
    const tunnel = this.#tunnel?.status();
    const places = [...this.#places, ...(tunnel?.places ?? [])];
    const guard =
      tunnel?.guard && (this.#tunnelProblem === undefined ? tunnel.guard : { ...tunnel.guard, mode: 'off' as const });
    return { flavour: 'iptables', why: [this.#why, ...found].join('; '), places, ...(guard && { guard }) };
  }

  checks(): readonly Check[] {
    const problem = this.#tunnelProblem;
    return problem === undefined ? [] : [{ name: 'guard', problem, required: false }];
  }

  mustLook(): boolean {
    const isSilent = ({ keeper }: Part): boolean => keeper.iptables.variant === 'legacy';
    return this.#parts === undefined || this.#parts.some(isSilent);
  }

  isConcerned(event: RulesetEvent): boolean {
    return isOfInterest(event, this.#interest) || this.#tunnel?.isConcerned(event) === true;
  }
}
