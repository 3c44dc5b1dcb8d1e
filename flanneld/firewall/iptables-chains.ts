// Keeps our chains correct with one variant of iptables. One iptables-save shows whether they are; one iptables-restore corrects them, and
// they are never empty meanwhile (flannel #2237).

import { OpError } from '../../lib/errors.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import { unlessLong } from './command-text.ts';
import { type Fault, type IsRight, planChanges } from './iptables-plan.ts';
import type { Iptables } from './iptables-programs.ts';
import { parseIptablesSave, type SavedTables } from './iptables-save.ts';
import type { OwnedChain } from './iptables-table.ts';

export interface ChainTools {
  readonly log: Logger;
  readonly drift: DriftNotes | undefined;
}

export class IptablesChains {
  readonly #iptables: Iptables;
  readonly #tools: ChainTools;
  /** Chains that have been right since the start. */
  readonly #seenRight = new Set<string>();
  /** How this iptables lists chains that we wrote, where it spells them differently. */
  readonly #asListed = new Map<string, string>();

  constructor(iptables: Iptables, tools: ChainTools) {
    this.#iptables = iptables;
    this.#tools = tools;
  }

  get iptables(): Iptables {
    return this.#iptables;
  }

  async read(table?: 'filter'): Promise<SavedTables> {
    return parseIptablesSave(await this.#iptables.save(table));
  }

  /** Makes the chains right, given the listing `saved`; resolves to whether it changed anything. Rejects with OpError. */
  async ensure(chains: readonly OwnedChain[], saved: SavedTables): Promise<boolean> {
    const { script, faults } = planChanges(chains, saved, this.#isRight);
    if (script !== '') {
      await this.#iptables.restore(script);
      for (const fault of faults) this.#tell(fault, script);
      await this.#verify(chains);
    }
    for (const chain of chains) this.#seenRight.add(keyOf(chain));
    return script !== '';
  }

  readonly #isRight: IsRight = (chain, listed) => {
    const text = listed.join('\n');
    return text === (chain.rules ?? []).join('\n') || text === this.#asListed.get(contentKey(chain));
  };

  #tell({ chain, was }: Fault, script: string): void {
    const { log, drift } = this.#tools;
    const { name, family } = this.#iptables;
    const lines = script.trim().split('\n');
    const cmd = unlessLong(
      `printf '${lines.join('\\n')}\\n' | ${name}-restore --noflush`,
      `${name}-restore --noflush (${lines.length} lines, for the rules that ${name}-save shows)`,
    );
    const facts = { chain: `${chain.table} ${chain.name}`, iptables: name, family, was, cmd };
    log.info(facts, was === 'not wanted' ? 'firewall chain removed' : 'firewall chain written');
    if (!this.#seenRight.has(keyOf(chain))) return;
    drift?.note({ object: 'firewall', place: `${name} ${chain.table}`, what: chain.name, was, cmd });
  }

  /** Remembers how iptables lists our chains after the first write, and regards that as correct. Later somebody may have changed them. */
  async #verify(chains: readonly OwnedChain[]): Promise<void> {
    const saved = await this.read();
    for (const chain of chains) {
      const listed = saved.get(chain.table)?.get(chain.name)?.rules;
      if (chain.rules === undefined || listed?.length !== chain.rules.length) continue;
      const key = contentKey(chain);
      if (!this.#asListed.has(key)) this.#asListed.set(key, listed.join('\n'));
    }
    const { faults } = planChanges(chains, saved, this.#isRight);
    const [fault] = faults;
    if (fault === undefined) return;
    const object = `chain ${fault.chain.table} ${fault.chain.name}`;
    const detail = `${this.#iptables.name}-restore accepted it, but ${this.#iptables.name}-save lists it differently`;
    throw new OpError({ subsystem: 'firewall', op: 'write', object, code: fault.was, detail });
  }
}

function keyOf({ table, name }: OwnedChain): string {
  return `${table} ${name}`;
}

function contentKey(chain: OwnedChain): string {
  return `${keyOf(chain)}\n${(chain.rules ?? []).join('\n')}`;
}
