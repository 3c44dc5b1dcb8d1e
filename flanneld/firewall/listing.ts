// Turns nft's JSON listing of a table into text that can be compared. Handles, comments, values of counters and elements of sets
// are left out, and what versions of nft write differently is written in one way (libnftables-json(5)).

import type { BaseChain } from '../../lib/netfilter/base-chains.ts';
import type { Chain, NftFamily, NftJson, Rule, Table } from './nft-table.ts';

/** The comparable text of a wanted table, without the elements of its sets. */
export function fingerprint({ chains, sets = [], counters = [] }: Table): string {
  const declared = chains.map(({ name, base }) =>
    base === undefined ? chainLine(name) : chainLine(name, base.type, base.hook, base.priority, 'accept'),
  );
  const rules = chains.flatMap((chain: Chain) => chain.rules.map((rule: Rule) => ruleLine(chain.name, rule.expr)));
  const others = [
    ...sets.map(({ name, listed }) => setLine(name, listed)),
    ...counters.map((name) => `counter ${name}`),
  ];
  return lines(declared, [...rules, ...others]);
}

/**
 * The comparable text of the output of `nft -j list table`. Sets, maps and objects that are not ours appear in it, too.
 * Throws SyntaxError when it is not nft's JSON.
 */
export function listingFingerprint(json: string): string {
  const chains: string[] = [];
  const rest: string[] = [];
  for (const item of listedItems(json)) {
    const [kind, value] = isRecord(item) ? (Object.entries(item)[0] ?? []) : [];
    if (!isRecord(value) || kind === 'metainfo' || kind === 'table') continue;
    if (kind === 'chain') {
      chains.push(chainLine(value['name'], value['type'], value['hook'], value['prio'], value['policy']));
    } else if (kind === 'rule') rest.push(ruleLine(value['chain'], value['expr']));
    else if (kind === 'set') rest.push(setLine(value['name'], value));
    else rest.push(`${kind} ${String(value['name'])}`);
  }
  return lines(chains, rest);
}

function listedItems(json: string): readonly unknown[] {
  const root: unknown = JSON.parse(json);
  const items = isRecord(root) ? root['nftables'] : undefined;
  if (!Array.isArray(items)) throw new SyntaxError('nft printed no JSON listing');
  return items;
}

const NF_INET_FORWARD = 2;

/** The chains that refuse forwarded packets of a family by their policy, as `ip filter FORWARD`. */
export function refusingChains(chains: readonly BaseChain[], of: NftFamily): string[] {
  return chains.flatMap(({ family, table, name, hook, drops }) =>
    hook === NF_INET_FORWARD && drops && (family === of || family === 'inet') ? [`${family} ${table} ${name}`] : [],
  );
}

/** Sorts chains, and rules by chain; the rules of one chain keep the kernel's order. */
function lines(chains: readonly string[], rules: readonly string[]): string {
  const chainOf = (line: string): string => line.split(' ', 2).join(' ');
  const grouped = rules.map((line, index) => ({ line, index }));
  grouped.sort((a, b) => {
    const [x, y] = [chainOf(a.line), chainOf(b.line)];
    return x === y ? a.index - b.index : x < y ? -1 : 1;
  });
  return [...[...chains].sort(), ...grouped.map(({ line }) => line)].join('\n');
}

/** A chain without a hook has only a name. */
function chainLine(...facts: readonly unknown[]): string {
  return `chain ${facts
    .filter((fact) => fact !== undefined)
    .map(String)
    .join(' ')}`;
}

/**
 * The declaration of a set, without its elements. The flag `dynamic` is left out because only newer versions of nft list it, and
 * the type of a set of raw bits because each version writes it differently.
 */
function setLine(name: unknown, { type, flags, size, timeout }: Readonly<Record<string, unknown>>): string {
  const told = {
    type: isRecord(type) || (Array.isArray(type) && type.includes('integer')) ? undefined : type,
    flags: Array.isArray(flags) ? flags.filter((flag) => flag !== 'dynamic') : flags,
    size,
    timeout,
  };
  const known = Object.entries(told).filter(([, fact]) => fact !== undefined);
  return `set ${String(name)} ${JSON.stringify(canonical(Object.fromEntries(known)))}`;
}

function ruleLine(chain: unknown, expr: unknown): string {
  return `rule ${String(chain)} ${JSON.stringify(canonical(expr))}`;
}

/**
 * Sorts keys and members of sets, writes a list of one flag as the flag, leaves out the values of counters, and writes the
 * set-membership operator of newer versions as equality.
 */
function canonical(value: unknown): NftJson {
  if (Array.isArray(value)) return value.map(canonical);
  if (!isRecord(value)) return typeof value === 'string' || typeof value === 'number' ? value : null;
  const sorted: Record<string, NftJson> = {};
  for (const key of Object.keys(value).sort()) sorted[key] = canonicalMember(key, canonical(value[key]));
  return sorted;
}

function canonicalMember(key: string, value: NftJson): NftJson {
  if (key === 'counter' && isRecord(value)) return null;
  if (key === 'set' && Array.isArray(value)) return value.toSorted(byText);
  if (key === 'flags' && Array.isArray(value) && value.length === 1) return value[0] ?? null;
  return key === 'op' && value === 'in' ? '==' : value;
}

function byText(a: NftJson, b: NftJson): number {
  const [x, y] = [JSON.stringify(a), JSON.stringify(b)];
  return x < y ? -1 : x > y ? 1 : 0;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
