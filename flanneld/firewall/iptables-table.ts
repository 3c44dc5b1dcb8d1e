// The rules as chains of iptables, written as iptables-save(8) prints them, so that they can be compared as text. Names and
// comments are flannel's (pkg/trafficmngr/iptables), so that other programs find them and a returning flannel can use them.

import { type Family, formatPrefix, type IpPrefix } from '../../lib/ip.ts';
import type { SavedTables } from './iptables-save.ts';
import {
  type AddressMatch,
  DEFAULT_VNI,
  type FirewallConfig,
  type FirewallRule,
  forwardRules,
  masqueradeRules,
} from './rules.ts';

/** One chain of ours, and the jump to it from a built-in chain. */
export interface OwnedChain {
  readonly table: 'nat' | 'filter';
  readonly name: string;
  readonly base: 'POSTROUTING' | 'FORWARD';
  /** The rule with the jump, without `-A BASE `. */
  readonly jump: string;
  /** The rules in order, without `-A NAME `; undefined when the chain must not exist. */
  readonly rules: readonly string[] | undefined;
  /** The chain is ours only if its rules have this network, since flannel or an agent of another VNI uses such names, too. */
  readonly mustMention?: string;
}

const MASQUERADE: Kind = {
  table: 'nat',
  flannelName: 'FLANNEL-POSTRTG',
  base: 'POSTROUTING',
  comment: 'flanneld masq',
};
const FORWARD: Kind = { table: 'filter', flannelName: 'FLANNEL-FWD', base: 'FORWARD', comment: 'flanneld forward' };

/** All our chains of one family; unwanted ones are without rules. */
export function iptablesChains(config: FirewallConfig): OwnedChain[] {
  return [
    ...ownedChains(MASQUERADE, config, config.masquerade ? masqueradeRules(config) : undefined),
    ...ownedChains(FORWARD, config, config.forward ? forwardRules(config) : undefined),
  ];
}

/** The same chains as unwanted, to remove what an agent or a flannel of the iptables flavour has left. */
export function unwantedChains(network: IpPrefix, vni: number): OwnedChain[] {
  return [MASQUERADE, FORWARD].flatMap((kind) => ownedChains(kind, { network, vni }, undefined));
}

/** Our chains in a listing, found by their names, for any network. */
export function remainingChains(saved: SavedTables): OwnedChain[] {
  return [MASQUERADE, FORWARD].flatMap(({ table, base, flannelName }) => {
    const names = [...(saved.get(table)?.keys() ?? [])].filter((name) => name.replace(/-[0-9]+$/, '') === flannelName);
    return names.map((name) => ({ table, name, base, jump: '', rules: undefined }));
  });
}

interface Kind {
  readonly table: OwnedChain['table'];
  readonly base: OwnedChain['base'];
  readonly flannelName: string;
  readonly comment: string;
}

function ownedChains(
  { table, base, flannelName, comment }: Kind,
  { vni, network }: Pick<FirewallConfig, 'vni' | 'network'>,
  rules: readonly FirewallRule[] | undefined,
): OwnedChain[] {
  const chain = (name: string): OwnedChain => ({
    table,
    name,
    base,
    jump: `-m comment --comment "${comment}" -j ${name}`,
    rules: rules?.map((rule) => iptablesRule(rule, comment)),
  });
  const mustMention = formatPrefix(network);
  if (vni === DEFAULT_VNI) return rules === undefined ? [{ ...chain(flannelName), mustMention }] : [chain(flannelName)];
  return [chain(`${flannelName}-${vni}`), { ...chain(flannelName), rules: undefined, mustMention }];
}

function iptablesRule({ mark, addresses, verdict }: FirewallRule, comment: string): string {
  const bits = mark === undefined ? [] : [`-m mark --mark 0x${mark.toString(16)}/0x${mark.toString(16)}`];
  return [...addresses.flatMap(match), ...bits, `-m comment --comment "${comment}"`, TARGETS[verdict]].join(' ');
}

/** A prefix of length 0 is no condition, and iptables-save does not print it. */
function match({ field, not, prefix }: AddressMatch): string[] {
  if (prefix.length === 0 && !not) return [];
  return [`${not ? '! ' : ''}${field === 'saddr' ? '-s' : '-d'} ${formatPrefix(prefix)}`];
}

const TARGETS: Readonly<Record<FirewallRule['verdict'], string>> = {
  return: '-j RETURN',
  accept: '-j ACCEPT',
  masquerade: '-j MASQUERADE',
  'masquerade fully-random': '-j MASQUERADE --random-fully',
};

/** `iptables` or `ip6tables`. */
export function iptablesName(family: Family): 'iptables' | 'ip6tables' {
  return family === 4 ? 'iptables' : 'ip6tables';
}
