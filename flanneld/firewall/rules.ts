// The agent's packet filter as data: a pure function from configuration to one nftables table, with both forms of
// every rule: the text nft reads and the JSON nft lists it as (libnftables-json(5)), so that text goes in and the
// kernel's answer can be compared. The rules and their order are flannel's iptables ones (pkg/trafficmngr/iptables).
// Differs from flannel: its nft rule 4 (`saddr != subnet, daddr network`) shadows the last one, so that node → remote
// pod is not masqueraded (D23); here it matches what comes from outside the network to this node's own pods. Its mark
// test compares the whole mark; here only kube-proxy's bit.

import { type Family, formatIp, formatPrefix, type IpPrefix, networkOf } from '../../lib/ip.ts';

/** VNI of a network that says nothing else. */
const DEFAULT_VNI = 1;

/**
 * The table the agent owns, whole, in each enabled family; flannel's are called otherwise. Two agents of one node have
 * two networks with a VNI each, and would take each other's table for a damaged one.
 */
export function tableName(vni: number): string {
  return vni === DEFAULT_VNI ? 'weft' : `weft-${vni}`;
}

/** Tables of flannel's nftables mode, removed when we take over. */
export const FLANNEL_TABLES: Readonly<Record<NftFamily, string>> = { ip: 'flannel-ipv4', ip6: 'flannel-ipv6' };

/** The bit kube-proxy sets on what it will masquerade itself (its --iptables-masquerade-bit, 14). */
const KUBE_PROXY_MARK = 0x4000;

export type NftFamily = 'ip' | 'ip6';

/** What the rules depend on, for one family. */
export interface FirewallConfig {
  readonly family: Family;
  readonly vni: number;
  readonly network: IpPrefix;
  /** This node's own subnet. */
  readonly subnet: IpPrefix;
  /** Masquerade what pods send out of the network, and what enters it from outside for other nodes' pods. */
  readonly masquerade: boolean;
  /** Choose masquerade ports at random (`fully-random`), where the kernel can. */
  readonly fullyRandom: boolean;
  /** Accept forwarded traffic from and to the network. */
  readonly forward: boolean;
}

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
    const rules = masqueradeRules(config);
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
    const rules = forwardRules(config);
    chains.push({ name: 'forward', type: 'filter', hook: 'forward', priority: 0, priorityName: 'filter', rules });
  }
  return { family: nftFamily(config.family), name: tableName(config.vni), chains };
}

function masqueradeRules(config: FirewallConfig): Rule[] {
  const { network, subnet } = config;
  const from = (op: Op, prefix: IpPrefix): Rule => match('saddr', op, prefix);
  const to = (op: Op, prefix: IpPrefix): Rule => match('daddr', op, prefix);
  const multicast = MULTICAST[config.family];
  return [
    // kube-proxy masquerades it itself; twice would break the reply's way back (flannel #1679).
    rule(markSet(KUBE_PROXY_MARK), RETURN),
    rule(from('==', subnet), to('==', network), RETURN),
    rule(from('==', network), to('==', subnet), RETURN),
    // Pods behind a service with externalTrafficPolicy Local see the client's address (flannel #745).
    rule(from('!=', network), to('==', subnet), RETURN),
    rule(from('==', network), to('!=', multicast), masquerade(config.fullyRandom)),
    // A node's own address is no address of the network: without this the reply would bypass the tunnel.
    rule(from('!=', network), to('==', network), masquerade(config.fullyRandom)),
  ];
}

function forwardRules({ network }: FirewallConfig): Rule[] {
  return [rule(match('saddr', '==', network), ACCEPT), rule(match('daddr', '==', network), ACCEPT)];
}

const MULTICAST: Readonly<Record<Family, IpPrefix>> = {
  4: { ip: { family: 4, value: 0xe0000000n }, length: 4 },
  6: { ip: { family: 6, value: 0xff00n << 112n }, length: 8 },
};

type Op = '==' | '!=';

function rule(...parts: readonly Rule[]): Rule {
  return { text: parts.map((part) => part.text).join(' '), expr: parts.flatMap((part) => part.expr) };
}

function match(field: 'saddr' | 'daddr', op: Op, prefix: IpPrefix): Rule {
  const protocol = nftFamily(prefix.ip.family);
  const { ip, length } = networkOf(prefix);
  const text = `${protocol} ${field} ${op === '!=' ? '!= ' : ''}${formatPrefix({ ip, length })}`;
  const right = { prefix: { addr: formatIp(ip), len: length } };
  return { text, expr: [{ match: { op, left: { payload: { protocol, field } }, right } }] };
}

function markSet(bits: number): Rule {
  const hex = `0x${bits.toString(16).padStart(8, '0')}`;
  return {
    text: `meta mark & ${hex} == ${hex}`,
    expr: [{ match: { op: '==', left: { '&': [{ meta: { key: 'mark' } }, bits] }, right: bits } }],
  };
}

const RETURN: Rule = { text: 'return', expr: [{ return: null }] };
const ACCEPT: Rule = { text: 'accept', expr: [{ accept: null }] };

function masquerade(fullyRandom: boolean): Rule {
  return fullyRandom
    ? { text: 'masquerade fully-random', expr: [{ masquerade: { flags: 'fully-random' } }] }
    : { text: 'masquerade', expr: [{ masquerade: null }] };
}

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
