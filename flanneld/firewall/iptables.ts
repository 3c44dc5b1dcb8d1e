// The iptables flavour, for clusters that have turned nftables off: flannel's chains in the variant of iptables that is in use.
// Differs from flannel: no chain is emptied and filled again (#2237), the order of rules is checked, a check takes one process and
// not twenty (#933), and the table of the other flavour is removed once our chains are in place. The rules about the tunnel
// (tunnel-rules.ts) use nftables also with this flavour.

import { errorText, OpError } from '../../lib/errors.ts';
import type { RulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { Check } from '../health/http-server.ts';
import type { FirewallStatus } from '../health/status/report.ts';
import type { Firewall, FirewallOptions } from './firewall.ts';
import { interestIn, isOfInterest } from './interest.ts';
import { type ChainTools, IptablesChains } from './iptables-chains.ts';
import {
  type ChosenIptables,
  chooseIptables,
  type FindIptables,
  type FoundIptables,
  type Iptables,
  isIdle,
  isOutOfReach,
} from './iptables-programs.ts';
import { iptablesChains, type OwnedChain, unwantedChains } from './iptables-table.ts';
import type { Nft } from './nft-program.ts';
import { FLANNEL_TABLES, nftFamily, tableName } from './nft-table.ts';
import { NftablesFirewall } from './nftables.ts';

export interface IptablesTools extends ChainTools {
  readonly find: FindIptables;
  /** The PATH that is searched, for messages. */
  readonly path: string;
  /** Used for the tunnel's tables, and to remove tables of the other flavour. */
  readonly nft: Nft;
}

/** One family with its executables. */
interface Part {
  readonly config: FirewallOptions['families'][number];
  readonly found: FoundIptables;
  readonly chosen: ChosenIptables;
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
   * The tunnel's rules, in nftables beside iptables if this node has it. iptables cannot refuse ARP, and its sets log a line for
   * every packet of a flood.
   */
  readonly #tunnel: NftablesFirewall | undefined;
  /** Why these rules could not be made. */
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

  /** A failure is only reported, because a node without nftables can forward. */
  async #ensureTunnel(): Promise<boolean> {
    try {
      const changed = (await this.#tunnel?.ensure()) ?? false;
      this.#tunnelProblem = undefined;
      return changed;
    } catch (error) {
      if (!(error instanceof OpError)) throw error;
      this.#tunnelProblem = `off, so pods and strangers can change routes and neighbours: ${errorText(error)}`;
      return false;
    }
  }

  async #open(config: Part['config']): Promise<Part> {
    const { find, path, log } = this.#tools;
    const found = await find(config.family);
    const chosen = await chooseIptables(found, path);
    const { iptables, why } = chosen;
    const fullyRandom = this.#options.fullyRandom && config.masquerade && (await this.#takesFullyRandom(iptables));
    log.info({ iptables: iptables.name, why, family: config.family }, 'iptables found');
    const keeper = new IptablesChains(iptables, this.#tools);
    return { config, found, chosen, keeper, chains: iptablesChains({ ...config, fullyRandom }) };
  }

  /** Finds out by trying. Versions do not show it, because kernel and iptables may be of different age (flannel #1702). */
  async #takesFullyRandom(iptables: Iptables): Promise<boolean> {
    const probe = '*nat\n:FLANNEL-PROBE - [0:0]\n-A FLANNEL-PROBE -j MASQUERADE --random-fully\nCOMMIT\n';
    const takes = await iptables.accepts(probe);
    if (!takes)
      this.#tools.log.warn({ family: iptables.family }, 'iptables has no --random-fully, plain MASQUERADE is used');
    return takes;
  }

  /** Once our chains are in place, removes those of the other flavour and of the other variant, which would still take effect. */
  async #takeOver(parts: readonly Part[]): Promise<void> {
    for (const { config, found, keeper } of parts) {
      for (const other of found.all) {
        if (other === keeper.iptables || isIdle(other) || isOutOfReach(other)) continue;
        const leftovers = new IptablesChains(other, { log: this.#tools.log, drift: undefined });
        await leftovers.ensure(unwantedChains(config.network, config.vni), await leftovers.read());
      }
    }
    const ours = parts.map(({ config }) => [nftFamily(config.family), tableName(config.vni)] as const);
    // flannel makes the tables of both families, even of a disabled one.
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
          'table of the nftables mode removed',
        );
      }
    } catch (error) {
      // Without nft or nftables there are no such tables.
      if (!(error instanceof OpError)) throw error;
      log.info(
        { err: errorText(error) },
        'nft does not work on this node, so tables of the nftables mode are not searched',
      );
    }
  }

  followLeases(): boolean | undefined {
    return this.#tunnel === undefined || this.#tunnelProblem !== undefined ? false : this.#tunnel.followLeases();
  }

  status(): FirewallStatus {
    const found = this.#parts?.map(({ chosen: { iptables, why } }) => `${iptables.name}: ${why}`) ?? [];
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
