// The rules as nftables tables, with both forms of every rule: the text nft reads and the JSON nft lists it as
// (libnftables-json(5)), so that text goes in and the kernel's answer can be compared.

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
 * The table the agent owns, whole, in each enabled family; flannel's are called otherwise. Two agents of one node have
 * two networks with a VNI each, and would take each other's table for a damaged one.
 */
export function tableName(vni: number): string {
  return vni === DEFAULT_VNI ? 'weft' : `weft-${vni}`;
}

/** Tables of flannel's nftables mode, removed when we take over. */
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
  /** Where packets come to it; undefined: by a jump from another chain of the table. */
  readonly base?: BaseChain;
  readonly rules: readonly Rule[];
}

export interface BaseChain {
  readonly type: 'nat' | 'filter';
  readonly hook: 'postrouting' | 'forward' | 'input';
  readonly priority: number;
  /** What the priority is called, for the text. */
  readonly priorityName: 'srcnat' | 'filter' | 'mangle';
}

/** A set of addresses the rules look into. */
export interface NftSet {
  readonly name: string;
  /** Between the braces of its declaration. */
  readonly text: string;
  /** The same as it is listed: type, flags, size, timeout. */
  readonly listed: Readonly<Record<string, NftJson>>;
}

export interface Table {
  readonly family: NftFamily;
  readonly name: string;
  /** Empty: the table should not exist. */
  readonly chains: readonly Chain[];
  readonly sets?: readonly NftSet[];
  /** Names of counters several rules count with. */
  readonly counters?: readonly string[];
}

/** What is in sets, by their names, as nft spells it. */
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

/** One rule of several parts: conditions, then what is done when all of them are true. */
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
 * The commands that make the table exactly so, `elements` in its sets, in one transaction: nft applies a file atomically,
 * so there is no moment without rules. The first line lets the second succeed when there is no table yet.
 */
export function renderTable(table: Table, elements: Elements = new Map()): string {
  const { family, name, chains, sets = [], counters = [] } = table;
  const place = `${family} ${name}`;
  const lines = [`add table ${place}`, `delete table ${place}`];
  if (chains.length > 0) lines.push(`add table ${place}`);
  for (const counter of counters) lines.push(`add counter ${place} ${counter}`);
  for (const set of sets) lines.push(`add set ${place} ${set.name} { ${set.text} }`);
  for (const [set, texts] of elements) lines.push(...elementLines(`${place} ${set}`, texts));
  // All chains first: a rule may jump to any.
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

/** The command that puts them into a set; none for none, which nft would not take. */
export function elementLines(set: string, texts: readonly string[]): string[] {
  return texts.length === 0 ? [] : [`add element ${set} { ${texts.join(', ')} }`];
}
