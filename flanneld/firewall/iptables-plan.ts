// Computes the changes that our chains need: a pure function of the output of iptables-save. The result is input for iptables-restore(8)
// --noflush, which applies each table in one transaction. It names only our own chains and the jumps to them. Rule numbers are used only
// for the position of a jump.

import { refusesEverything, type SavedChain, type SavedTables, targetOf } from './iptables-save.ts';
import type { OwnedChain } from './iptables-table.ts';

export interface Plan {
  /** Empty when everything is right. */
  readonly script: string;
  /** One for every chain that is not right. */
  readonly faults: readonly Fault[];
}

export interface Fault {
  readonly chain: OwnedChain;
  readonly was: 'missing' | 'changed' | 'not wanted';
}

/** Whether the listing of a chain is correct although it is not equal letter by letter. */
export type IsRight = (chain: OwnedChain, listed: readonly string[]) => boolean;

const literally: IsRight = ({ rules = [] }, listed) =>
  rules.length === listed.length && rules.every((rule, index) => rule === listed[index]);

/** The changes that make `chains` right, given the listing `saved`. */
export function planChanges(chains: readonly OwnedChain[], saved: SavedTables, isRight: IsRight = literally): Plan {
  const faults: Fault[] = [];
  const scripts = new Map<string, string[]>();
  for (const chain of chains) {
    const table: ReadonlyMap<string, SavedChain> = saved.get(chain.table) ?? new Map();
    const lines = chain.rules === undefined ? removal(chain, table) : renewal(chain, table, isRight);
    if (lines.length === 0) continue;
    const was = chain.rules === undefined ? 'not wanted' : table.has(chain.name) ? 'changed' : 'missing';
    faults.push({ chain, was });
    scripts.set(chain.table, [...(scripts.get(chain.table) ?? []), ...lines]);
  }
  const script = [...scripts].map(([table, lines]) => `${[`*${table}`, ...declared(lines), 'COMMIT'].join('\n')}\n`);
  return { script: script.join(''), faults };
}

/** Sorts declarations of chains before rules. */
function declared(lines: readonly string[]): string[] {
  const isDeclaration = (line: string): boolean => line.startsWith(':');
  return [...lines.filter(isDeclaration), ...lines.filter((line) => !isDeclaration(line))];
}

function removal({ name, base, mustMention }: OwnedChain, table: ReadonlyMap<string, SavedChain>): string[] {
  const chain = table.get(name);
  if (chain === undefined) return [];
  // flannel leaves its own chains empty (D26).
  const isOurs = chain.rules.length === 0 || chain.rules.some((rule) => mentions(rule, mustMention));
  if (!isOurs) return [];
  return [...jumpsTo(name, base, table).map((jump) => `-D ${base} ${jump}`), `-F ${name}`, `-X ${name}`];
}

function mentions(rule: string, prefix: string | undefined): boolean {
  return prefix === undefined || rule.split(' ').includes(prefix);
}

function jumpsTo(name: string, base: string, table: ReadonlyMap<string, SavedChain>): string[] {
  return (table.get(base)?.rules ?? []).filter((rule) => targetOf(rule) === name);
}

function renewal(chain: OwnedChain, table: ReadonlyMap<string, SavedChain>, isRight: IsRight): string[] {
  const { name, base, rules = [] } = chain;
  const listed = table.get(name)?.rules;
  // Declaring a chain empties this chain, even with --noflush.
  const contents =
    listed !== undefined && isRight(chain, listed)
      ? []
      : [`:${name} - [0:0]`, ...rules.map((rule) => `-A ${name} ${rule}`)];
  return [...contents, ...jumpChanges(chain, table.get(base)?.rules ?? [])];
}

/**
 * The jump must exist once, at the end, as with flannel, so that rules of a network policy come before it. But it must come before a rule
 * that refuses everything, because it would never be reached behind that (flannel #1668).
 */
function jumpChanges({ name, base, jump }: OwnedChain, present: readonly string[]): string[] {
  const jumps = present.filter((rule) => targetOf(rule) === name);
  const wall = present.findIndex(refusesEverything);
  const isReached = wall < 0 || present.indexOf(jump) < wall;
  if (jumps.length === 1 && jumps[0] === jump && isReached) return [];
  const removed = jumps.map((rule) => `-D ${base} ${rule}`);
  if (wall < 0) return [...removed, `-A ${base} ${jump}`];
  // The number does not count jumps that are removed first.
  const before = present.slice(0, wall).filter((rule) => targetOf(rule) !== name).length;
  return [...removed, `-I ${base} ${before + 1} ${jump}`];
}

/** Whether iptables refuses forwarded packets that no rule accepts; then our accept rules are needed here, too. */
export function refusesForwarding(saved: SavedTables): boolean {
  const forward = saved.get('filter')?.get('FORWARD');
  return forward !== undefined && (forward.policy === 'DROP' || forward.rules.some(refusesEverything));
}
