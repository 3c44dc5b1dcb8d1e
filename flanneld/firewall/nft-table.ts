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
export const FLANNEL_TABLES: Readonly<Record<NftFamily, string>> = { ip: 'flannel-ipv4', ip6: 'flannel-ipv6' };

export type NftFamily = 'ip' | 'ip6';

/** JSON as libnftables prints it. */
export type NftJson = null | string | number | { readonly [key: string]: NftJson } | readonly NftJson[];

export interface Rule {
  readonly text: string;
  readonly expr: readonly NftJson[];
}

export interface Chain {
  readonly name: string;
  readonly type: 'nat' | 'filter';
  readonly hook: 'postrouting' | 'forward';
  readonly priority: number;
  /** What the priority is called, for the text. */
  readonly priorityName: 'srcnat' | 'filter';
  readonly rules: readonly Rule[];
}

export interface Table {
  readonly family: NftFamily;
  readonly name: string;
  /** Empty: the table should not exist. */
  readonly chains: readonly Chain[];
}

export function nftFamily(family: Family): NftFamily {
  return family === 4 ? 'ip' : 'ip6';
}

/** The table for a configuration; without chains when neither masquerade nor forward rules are wanted. */
export function firewallTable(config: FirewallConfig): Table {
  const chains: Chain[] = [];
  if (config.masquerade) {
    const rules = masqueradeRules(config).map(nftRule);
    chains.push({
      name: 'postrouting',
      type: 'nat',
      hook: 'postrouting',
      priority: 100,
      priorityName: 'srcnat',
      rules,
    });
  }
  if (config.forward) {
    const rules = forwardRules(config).map(nftRule);
    chains.push({ name: 'forward', type: 'filter', hook: 'forward', priority: 0, priorityName: 'filter', rules });
  }
  return { family: nftFamily(config.family), name: tableName(config.vni), chains };
}

function nftRule({ mark, addresses, verdict }: FirewallRule): Rule {
  const parts = [...(mark === undefined ? [] : [markSet(mark)]), ...addresses.map(match), VERDICTS[verdict]];
  return { text: parts.map(({ text }) => text).join(' '), expr: parts.flatMap(({ expr }) => expr) };
}

function match({ field, not, prefix }: AddressMatch): Rule {
  const protocol = nftFamily(prefix.ip.family);
  const right = { prefix: { addr: formatIp(prefix.ip), len: prefix.length } };
  return {
    text: `${protocol} ${field} ${not ? '!= ' : ''}${formatPrefix(prefix)}`,
    expr: [{ match: { op: not ? '!=' : '==', left: { payload: { protocol, field } }, right } }],
  };
}

function markSet(bits: number): Rule {
  const hex = `0x${bits.toString(16).padStart(8, '0')}`;
  return {
    text: `meta mark & ${hex} == ${hex}`,
    expr: [{ match: { op: '==', left: { '&': [{ meta: { key: 'mark' } }, bits] }, right: bits } }],
  };
}

const VERDICTS: Readonly<Record<FirewallRule['verdict'], Rule>> = {
  return: { text: 'return', expr: [{ return: null }] },
  accept: { text: 'accept', expr: [{ accept: null }] },
  masquerade: { text: 'masquerade', expr: [{ masquerade: null }] },
  'masquerade fully-random': { text: 'masquerade fully-random', expr: [{ masquerade: { flags: 'fully-random' } }] },
};

/**
 * The commands that make the table exactly so, in one transaction: nft applies a file atomically, so there is no
 * moment without rules. The first line lets the second succeed when there is no table yet.
 */
export function renderTable(table: Table): string {
  const { family, name, chains } = table;
  const lines = [`add table ${family} ${name}`, `delete table ${family} ${name}`];
  if (chains.length > 0) lines.push(`add table ${family} ${name}`);
  for (const chain of chains) {
    const { type, hook, priorityName } = chain;
    const spec = `{ type ${type} hook ${hook} priority ${priorityName}; policy accept; }`;
    lines.push(`add chain ${family} ${name} ${chain.name} ${spec}`);
    for (const { text } of chain.rules) lines.push(`add rule ${family} ${name} ${chain.name} ${text}`);
  }
  return `${lines.join('\n')}\n`;
}
