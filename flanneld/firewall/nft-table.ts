// The rules as nftables tables. Every rule has two forms: the text that nft reads, and the JSON in which nft lists it
// (libnftables-json(5)), so that the listing can be compared.

import { type Family, formatIp, formatPrefix } from '../../lib/ip.ts';
import {
  type AddressMatch,
  DEFAULT_VNI,
  type FirewallConfig,
  type FirewallRule,
  forwardRules,
  masqueradeRules,
} from './rules.ts';

/**
 * The name of the tables that the agent owns completely; flannel's have other names. The name contains the VNI, because two agents of one
 * node (for two networks) would otherwise mistake each other's table for a damaged one of their own.
 */
export function tableName(vni: number): string {
  return vni === DEFAULT_VNI ? 'weft' : `weft-${vni}`;
}

/** The tables of flannel's nftables mode; they are removed when Weft takes over. */
export const FLANNEL_TABLES: Readonly<Partial<Record<NftFamily, string>>> = { ip: 'flannel-ipv4', ip6: 'flannel-ipv6' };

/** Families of tables; `inet` sees IPv4 and IPv6. */
export type NftFamily = 'ip' | 'ip6' | 'inet' | 'arp';
/** Every family a table of ours may be of. */
export const TABLE_FAMILIES: readonly NftFamily[] = ['ip', 'ip6', 'inet', 'arp'];

/** JSON as libnftables prints it. */
export type NftJson = null | string | number | { readonly [key: string]: NftJson } | readonly NftJson[];

export interface Rule {
  readonly text: string;
  readonly expr: readonly NftJson[];
}

export interface Chain {
  readonly name: string;
  /** The hook of the chain; undefined when packets come only by a jump from another chain. */
  readonly base?: BaseChain;
  readonly rules: readonly Rule[];
}

export interface BaseChain {
  readonly type: 'nat' | 'filter';
  readonly hook: 'postrouting' | 'forward' | 'input';
  readonly priority: number;
  /** The name of the priority in nft's text. */
  readonly priorityName: 'srcnat' | 'filter' | 'mangle';
}

/** A set of addresses that the rules use. */
export interface NftSet {
  readonly name: string;
  /** The text between the braces of its declaration. */
  readonly text: string;
  /** The same as nft lists it: type, flags, size, timeout. */
  readonly listed: Readonly<Record<string, NftJson>>;
}

export interface Table {
  readonly family: NftFamily;
  readonly name: string;
  /** Empty when the table must not exist. */
  readonly chains: readonly Chain[];
  readonly sets?: readonly NftSet[];
  /** Names of counters that several rules share. */
  readonly counters?: readonly string[];
}

/** The elements by name of the set, as nft writes them. */
export type Elements = ReadonlyMap<string, readonly string[]>;

export function nftFamily(family: Family): 'ip' | 'ip6' {
  return family === 4 ? 'ip' : 'ip6';
}

/** The table for a configuration; without chains when neither masquerade nor forward rules are wanted. */
export function firewallTable(config: FirewallConfig): Table {
  const chains: Chain[] = [];
  if (config.masquerade) {
    const rules = masqueradeRules(config).map(nftRule);
    chains.push({ name: 'postrouting', base: POSTROUTING, rules });
  }
  if (config.forward) chains.push({ name: 'forward', base: FORWARD, rules: forwardRules(config).map(nftRule) });
  return { family: nftFamily(config.family), name: tableName(config.vni), chains };
}

const POSTROUTING: BaseChain = { type: 'nat', hook: 'postrouting', priority: 100, priorityName: 'srcnat' };
const FORWARD: BaseChain = { type: 'filter', hook: 'forward', priority: 0, priorityName: 'filter' };

function nftRule({ mark, addresses, verdict }: FirewallRule): Rule {
  return allOf(...(mark === undefined ? [] : [markSet(mark)]), ...addresses.map(match), VERDICTS[verdict]);
}

/** Joins conditions and the action that follows when all are true into one rule. */
export function allOf(...parts: readonly Rule[]): Rule {
  return { text: parts.map(({ text }) => text).join(' '), expr: parts.flatMap(({ expr }) => expr) };
}

/** A condition, in both forms. */
export function matching(text: string, left: NftJson, op: '==' | '!=', right: NftJson): Rule {
  return { text, expr: [{ match: { op, left, right } }] };
}

function match({ field, not, prefix }: AddressMatch): Rule {
  const protocol = nftFamily(prefix.ip.family);
  const right = { prefix: { addr: formatIp(prefix.ip), len: prefix.length } };
  const text = `${protocol} ${field} ${not ? '!= ' : ''}${formatPrefix(prefix)}`;
  return matching(text, { payload: { protocol, field } }, not ? '!=' : '==', right);
}

function markSet(bits: number): Rule {
  const hex = `0x${bits.toString(16).padStart(8, '0')}`;
  return matching(`meta mark & ${hex} == ${hex}`, { '&': [{ meta: { key: 'mark' } }, bits] }, '==', bits);
}

const VERDICTS: Readonly<Record<FirewallRule['verdict'], Rule>> = {
  return: { text: 'return', expr: [{ return: null }] },
  accept: { text: 'accept', expr: [{ accept: null }] },
  masquerade: { text: 'masquerade', expr: [{ masquerade: null }] },
  'masquerade fully-random': { text: 'masquerade fully-random', expr: [{ masquerade: { flags: 'fully-random' } }] },
};

/**
 * The commands that replace the table by this one, with `elements` in its sets. nft applies a file in one transaction, so there
 * is no moment without rules. The first line makes the second succeed even if there is no table yet.
 */
export function renderTable(table: Table, elements: Elements = new Map()): string {
  const { family, name, chains, sets = [], counters = [] } = table;
  const place = `${family} ${name}`;
  const lines = [`add table ${place}`, `delete table ${place}`];
  if (chains.length > 0) lines.push(`add table ${place}`);
  for (const counter of counters) lines.push(`add counter ${place} ${counter}`);
  for (const set of sets) lines.push(`add set ${place} ${set.name} { ${set.text} }`);
  for (const [set, texts] of elements) lines.push(...elementLines(`${place} ${set}`, texts));
  // All chains come before the rules, because a rule may jump to any chain.
  for (const chain of chains) lines.push(`add chain ${place} ${chain.name}${baseText(chain.base)}`);
  for (const chain of chains) {
    for (const { text } of chain.rules) lines.push(`add rule ${place} ${chain.name} ${text}`);
  }
  return `${lines.join('\n')}\n`;
}

function baseText(base: BaseChain | undefined): string {
  if (base === undefined) return '';
  return ` { type ${base.type} hook ${base.hook} priority ${base.priorityName}; policy accept; }`;
}

/** The command that adds elements to a set. There is none for an empty list, because nft refuses that. */
export function elementLines(set: string, texts: readonly string[]): string[] {
  return texts.length === 0 ? [] : [`add element ${set} { ${texts.join(', ')} }`];
}
