// Notices changes in iptables-legacy, about which the kernel sends no events, by reading the rules again and again.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Clock } from '../../../lib/clock-node.ts';
import type { Family } from '../../../lib/ip.ts';
import { legacyRules } from '../../../lib/netfilter/legacy-table.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { isForeignChain } from './rule-events.ts';

/** The shortest time between two reads. */
const GAP_MS = 1000;
/**
 * Reading tables of many thousand rules takes some milliseconds. The pause is this many times as long, so that reading takes 1 % of the
 * time.
 */
const REST = 100;

export class LegacyRules {
  readonly #tools: { readonly sys: Syscalls; readonly clock: Clock };
  #known = '';
  #nextAtMs = Number.NEGATIVE_INFINITY;

  constructor(tools: { readonly sys: Syscalls; readonly clock: Clock }) {
    this.#tools = tools;
  }

  /** Whether rules of others differ from those at the last read. Throws SysError when no socket can be opened. */
  haveChanged(): boolean {
    const { clock } = this.#tools;
    const beganMs = clock.now();
    if (beganMs < this.#nextAtMs) return false;
    const now = this.#read();
    const endMs = clock.now();
    this.#nextAtMs = endMs + Math.max(GAP_MS, (endMs - beganMs) * REST);
    const isSame = now === this.#known;
    this.#known = now;
    return !isSame;
  }

  #read(): string {
    const hash = createHash('sha256');
    const tables = ([4, 6] as const).flatMap((family) => tablesInUse(family).map((table) => ({ family, table })));
    if (tables.length === 0) return '';
    for (const { family, table } of tables) {
      hash.update(`${family} ${table} `);
      hash.update(legacyRules(this.#tools.sys, family, table, (chain) => !isForeignChain(chain)));
    }
    return hash.digest('hex');
  }
}

/** The tables exist only after somebody has used them, and the file only if the kernel supports legacy iptables. */
function tablesInUse(family: Family): string[] {
  try {
    const names = readFileSync(`/proc/self/net/ip${family === 4 ? '' : '6'}_tables_names`, 'utf8');
    return names.split('\n').filter((name) => name !== '');
  } catch {
    return [];
  }
}
