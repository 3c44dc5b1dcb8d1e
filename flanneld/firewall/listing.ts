// nft's JSON listing of one table, brought to a form that compares: handles, comments and counters of no meaning left
// out, what differs between versions of nft written one way (libnftables-json(5)).

import type { Chain, NftFamily, NftJson, Rule, Table } from './nft-table.ts';

/** The comparable text of a table as we want it. */
export function fingerprint(table: Table): string {
  return lines(
    table.chains.map((chain) => chainLine(chain.name, chain.type, chain.hook, chain.priority, 'accept')),
    table.chains.flatMap((chain: Chain) => chain.rules.map((rule: Rule) => ruleLine(chain.name, rule.expr))),
  );
}

/**
 * The comparable text of what `nft -j list table` printed; a set, map or object nobody of us made appears as such.
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

/**
 * Chains of `nft -j list chains` that refuse forwarded packets of a family by their policy, as `ip filter FORWARD`.
 * Throws SyntaxError when it is not nft's JSON.
 */
export function refusingChains(json: string, family: NftFamily): string[] {
  return listedItems(json).flatMap((item) => {
    const chain = isRecord(item) ? item['chain'] : undefined;
    if (!isRecord(chain) || chain['hook'] !== 'forward' || chain['policy'] !== 'drop') return [];
    if (chain['family'] !== family && chain['family'] !== 'inet') return [];
    return [[chain['family'], chain['table'], chain['name']].map(String).join(' ')];
  });
}

/** Rules are in the kernel's order, chain by chain; chains and chain groups are put in order of name. */
function lines(chains: readonly string[], rules: readonly string[]): string {
  const chainOf = (line: string): string => line.split(' ', 2).join(' ');
  const grouped = rules.map((line, index) => ({ line, index }));
  grouped.sort((a, b) => {
    const [x, y] = [chainOf(a.line), chainOf(b.line)];
    return x === y ? a.index - b.index : x < y ? -1 : 1;
  });
  return [...[...chains].sort(), ...grouped.map(({ line }) => line)].join('\n');
}

function chainLine(name: unknown, type: unknown, hook: unknown, priority: unknown, policy: unknown): string {
  return `chain ${[name, type, hook, priority, policy].map(String).join(' ')}`;
}

function ruleLine(chain: unknown, expr: unknown): string {
  return `rule ${String(chain)} ${JSON.stringify(canonical(expr))}`;
}

/** Sorted keys; a list of one flag as the flag; the set-membership operator of newer versions as equality. */
function canonical(value: unknown): NftJson {
  if (Array.isArray(value)) return value.map(canonical);
  if (!isRecord(value)) return typeof value === 'string' || typeof value === 'number' ? value : null;
  const sorted: Record<string, NftJson> = {};
  for (const key of Object.keys(value).sort()) {
    const inner = canonical(value[key]);
    if (key === 'flags' && Array.isArray(inner) && inner.length === 1) sorted[key] = inner[0] ?? null;
    else sorted[key] = key === 'op' && inner === 'in' ? '==' : inner;
  }
  return sorted;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
