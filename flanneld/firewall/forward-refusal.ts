// An accept in nftables is not final: a packet passes every base chain of its hook. So a FORWARD chain of iptables with policy
// DROP (Docker sets it) drops what our table accepted. Differs from flannel (D24): where iptables drops, our accept rules are put
// there, too; other chains that drop are reported. This also removes leftovers of the iptables flavour (D26).

import { steadyMs } from '../../lib/clock-node.ts';
import { formatPrefix } from '../../lib/ip.ts';
import type { BaseChain } from '../../lib/netfilter/base-chains.ts';
import type { Check } from '../health/http-server.ts';
import type { FirewallOptions } from './firewall.ts';
import { type ChainTools, IptablesChains } from './iptables-chains.ts';
import { refusesForwarding } from './iptables-plan.ts';
import { type FindIptables, type Iptables, isIdle, isOutOfReach } from './iptables-programs.ts';
import { iptablesChains } from './iptables-table.ts';
import { refusingChains } from './listing.ts';
import { nftFamily } from './nft-table.ts';

type Config = FirewallOptions['families'][number];

interface Part {
  readonly config: Config;
  readonly keepers: readonly IptablesChains[];
}

/** The shortest time between two listings of all chains, because a node may have tens of thousands. */
const LOOK_MS = 60_000;

export class ForwardRefusal {
  readonly #families: readonly Config[];
  readonly #find: FindIptables;
  readonly #listChains: () => readonly BaseChain[];
  readonly #tools: ChainTools;
  #parts: readonly Part[] | undefined;
  #isFirst = true;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #isPutOff = false;
  #checks: readonly Check[] = [];
  #places: readonly string[] = [];
  /** Names of iptables variants that have rules here but cannot be read. */
  readonly #hidden = new Set<string>();

  /** `listChains` lists the base chains of nftables. */
  constructor(
    families: readonly Config[],
    find: FindIptables,
    listChains: () => readonly BaseChain[],
    tools: ChainTools,
  ) {
    this.#families = families;
    this.#find = find;
    this.#listChains = listChains;
    this.#tools = tools;
  }

  checks(): readonly Check[] {
    const problem = 'it is in use on this node, and only a program with the capability NET_RAW can read its chains';
    return [...this.#checks, ...[...this.#hidden].map((name) => ({ name, problem, required: false }))];
  }

  /** The iptables chains that have our accept rules. */
  places(): readonly string[] {
    return this.#places;
  }

  /** Whether something outside nftables must be checked, or something that was put off is due. */
  mustLook(): boolean {
    if (this.#parts === undefined || (this.#isPutOff && this.#mayListChains())) return true;
    const isElsewhere = ({ iptables }: IptablesChains): boolean =>
      iptables.variant === 'legacy' && !isIdle(iptables) && !this.#hidden.has(iptables.name);
    return this.#parts.some(({ config, keepers }) => config.forward && keepers.some(isElsewhere));
  }

  /** Rejects with OpError. */
  async ensure(): Promise<boolean> {
    this.#parts ??= await Promise.all(this.#families.map((config) => this.#open(config)));
    let changed = false;
    const places: string[] = [];
    for (const { config, keepers } of this.#parts) {
      for (const keeper of keepers) if (await this.#ensureIn(keeper, config, places)) changed = true;
    }
    this.#places = places;
    this.#isFirst = false;
    this.#isPutOff = !this.#mayListChains();
    if (!this.#isPutOff) {
      this.#lookedAt = steadyMs();
      this.#checks = this.#otherRefusals();
    }
    return changed;
  }

  #mayListChains(): boolean {
    return steadyMs() - this.#lookedAt > LOOK_MS;
  }

  async #open(config: Config): Promise<Part> {
    const { all, lookedFor } = await this.#find(config.family);
    if (all.length === 0) {
      const facts = { family: config.family, looked: lookedFor.join(' ') };
      this.#tools.log.info(facts, 'iptables is not in PATH, so its chains are not checked');
    }
    return { config, keepers: all.map((iptables) => new IptablesChains(iptables, this.#tools)) };
  }

  async #ensureIn(keeper: IptablesChains, config: Config, places: string[]): Promise<boolean> {
    if (isIdle(keeper.iptables) || !(this.#isFirst || config.forward)) return false;
    if (isOutOfReach(keeper.iptables)) return this.#hide(keeper.iptables);
    const saved = await keeper.read(this.#isFirst ? undefined : 'filter');
    const forward = config.forward && refusesForwarding(saved);
    const chains = iptablesChains({ ...config, masquerade: false, forward, fullyRandom: false });
    const own = chains.filter(({ table }) => this.#isFirst || table === 'filter');
    for (const { table, name, rules } of own) {
      if (rules !== undefined) places.push(`chain ${table} ${name} (${keeper.iptables.name})`);
    }
    return await keeper.ensure(own, saved);
  }

  #hide({ name }: Iptables): false {
    if (!this.#hidden.has(name)) this.#tools.log.warn({ iptables: name }, 'its rules cannot be read without NET_RAW');
    this.#hidden.add(name);
    return false;
  }

  #otherRefusals(): Check[] {
    const found: Check[] = [];
    const chains = this.#listChains();
    for (const { forward, family, network } of this.#families) {
      if (!forward) continue;
      const hasIptables = this.#parts?.some(({ config, keepers }) => config.family === family && keepers.length > 0);
      for (const chain of refusingChains(chains, nftFamily(family))) {
        if (hasIptables === true && chain === `${nftFamily(family)} filter FORWARD`) continue;
        const problem = `its policy is drop: add rules to it that accept packets from and to ${formatPrefix(network)}`;
        found.push({ name: `chain ${chain} at the hook forward`, problem, required: false });
      }
    }
    return found;
  }
}
