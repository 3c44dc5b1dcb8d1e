// The nftables rules all attachments share. A mapping is one element of a map, so that a pod costs the same
// however many there are, and no rule is touched for it:
//
//   prerouting, output: [conditions] to an address of this host ─▶ ports4 / ports6
//   ports4: source must change? vmap @mark4 ─▶ from_<subnet>_<bit> sets the mark; then dnat by map @dnat4
//   postrouting: masquerade what is marked
//
// The same with _host for mappings that name an address of the host. Other conditions have maps and chains of
// their own, named with their hash. Each rule's comment says which one it is, and the version of this layout.

import { type Family, formatIp, type IpPrefix, networkOf } from '../../lib/ip.ts';
import type { Rule, Table } from '../../lib/netfilter/nftables.ts';
import { shortHash } from './owner.ts';
import type { PortmapConfig } from './portmap-config.ts';

export const TABLE: Table = { family: 'inet', name: 'weft_portmap' };
/** A set with one element for each attachment that has mappings: its owner. */
export const ATTACHMENTS = 'attachments';

const T = `${TABLE.family} ${TABLE.name}`;
const VERSION = '1';

/** The names for one family and one list of conditions. */
export interface Names {
  readonly family: Family;
  readonly ports: string;
  readonly dnat: string;
  readonly dnatHost: string;
  readonly mark: string;
  readonly markHost: string;
  readonly conditions: readonly string[];
}

export function namesOf(config: PortmapConfig, family: Family): Names {
  const conditions = config.conditions[family];
  const suffix = conditions.length === 0 ? '' : `_${shortHash(conditions.join(' '))}`;
  return {
    family,
    ports: `ports${family}${suffix}`,
    dnat: `dnat${family}${suffix}`,
    dnatHost: `dnat${family}_host${suffix}`,
    mark: `mark${family}${suffix}`,
    markHost: `mark${family}_host${suffix}`,
    conditions,
  };
}

/** The chain that marks packets from a container's subnet; undefined when no source is changed. */
export function markChain(config: PortmapConfig, container: IpPrefix): string | undefined {
  if (!config.snat) return undefined;
  const { ip, length } = networkOf(container);
  const from = config.masqAll ? `all${ip.family}` : `${formatIp(ip).replaceAll(':', '_')}/${length}`;
  return `from_${from}_${config.markBit}`;
}

/** A rule that must be there. */
interface WantedRule {
  readonly chain: string;
  readonly comment: string;
  readonly text: string;
}

/** A chain whose rules belong together and are written again when one is missing; base chains only grow. */
interface WantedChain {
  readonly name: string;
  readonly hook?: string;
  readonly rules: readonly WantedRule[];
}

/** What the attachments of this configuration need in one family. */
export interface Need {
  readonly names: Names;
  readonly config: PortmapConfig;
  readonly container: IpPrefix;
}

function rule(chain: string, comment: string, text: string): WantedRule {
  return { chain, comment: `${VERSION} ${comment}`, text };
}

function portsChain(names: Names): WantedChain {
  const { ports, family } = names;
  const ip = family === 4 ? 'ip' : 'ip6';
  const port = 'meta l4proto . th dport';
  const hostPort = `${ip} daddr . ${port}`;
  return {
    name: ports,
    rules: [
      rule(ports, 'an address, source', `${hostPort} vmap @${names.markHost}`),
      rule(ports, 'an address', `dnat ${ip} addr . port to ${hostPort} map @${names.dnatHost}`),
      rule(ports, 'any address, source', `${port} vmap @${names.mark}`),
      rule(ports, 'any address', `dnat ${ip} addr . port to ${port} map @${names.dnat}`),
    ],
  };
}

function markingChain(need: Need): WantedChain | undefined {
  const name = markChain(need.config, need.container);
  if (name === undefined) return undefined;
  const set = `meta mark set meta mark or ${mask(need.config)}`;
  if (need.config.masqAll) return { name, rules: [rule(name, 'any source', set)] };
  const { ip, length } = networkOf(need.container);
  const saddr = ip.family === 4 ? 'ip saddr' : 'ip6 saddr';
  const rules = [rule(name, 'same subnet', `${saddr} ${formatIp(ip)}/${length} ${set}`)];
  // The kernel never routes packets from ::1 to another device, so IPv6 needs no such rule.
  if (ip.family === 4) rules.push(rule(name, 'loopback', `ip saddr 127.0.0.0/8 ${set}`));
  return { name, rules };
}

function mask(config: PortmapConfig): string {
  return `0x${(2 ** config.markBit).toString(16)}`;
}

function baseChains({ names, config }: Need): WantedChain[] {
  const family = `meta nfproto ipv${names.family}`;
  const jump = [family, ...names.conditions, 'fib daddr type local', 'jump', names.ports].join(' ');
  const base = ['prerouting', 'output'].map(
    (name): WantedChain => ({
      name,
      hook: `type nat hook ${name} priority -100`,
      rules: [rule(name, names.ports, jump)],
    }),
  );
  const masquerade = `meta mark and ${mask(config)} == ${mask(config)} masquerade`;
  const rules = config.snat ? [rule('postrouting', `mark ${mask(config)}`, masquerade)] : [];
  return [...base, { name: 'postrouting', hook: 'type nat hook postrouting priority 100', rules }];
}

function chainsOf(need: Need): WantedChain[] {
  const marking = markingChain(need);
  const regular = marking === undefined ? [portsChain(need.names)] : [marking, portsChain(need.names)];
  return [...regular, ...baseChains(need)];
}

function missingIn(chain: WantedChain, present: readonly Rule[]): WantedRule[] {
  return chain.rules.filter(
    (wanted) => !present.some((rule) => rule.chain === wanted.chain && rule.comment === wanted.comment),
  );
}

/** The rules of `needs` that are not in the table, as `chain: comment`. */
export function missingRules(needs: readonly Need[], present: readonly Rule[]): string[] {
  return needs
    .flatMap(chainsOf)
    .flatMap((chain) => missingIn(chain, present))
    .map(({ chain, comment }) => `${chain}: ${comment}`);
}

/** The nft statements that make sets, maps, chains and those of their rules that are missing. */
export function layoutStatements(needs: readonly Need[], present: readonly Rule[]): string[] {
  const lines = [`add table ${T}`, `add set ${T} ${ATTACHMENTS} { type ifname; }`];
  for (const { names } of needs) lines.push(...mapStatements(names));
  // Families share the base chains, and the needs of one subnet share its marking chain.
  const written = new Set<string>();
  for (const chain of needs.flatMap(chainsOf)) {
    for (const line of chainStatements(chain, present)) {
      if (!written.has(line)) lines.push(line);
      written.add(line);
    }
  }
  return lines;
}

function chainStatements(chain: WantedChain, present: readonly Rule[]): string[] {
  const base = chain.hook !== undefined;
  const lines = [`add chain ${T} ${chain.name}${base ? ` { ${chain.hook}; policy accept; }` : ''}`];
  const missing = missingIn(chain, present);
  if (missing.length === 0) return lines;
  if (!base) lines.push(`flush chain ${T} ${chain.name}`);
  for (const { comment, text } of base ? missing : chain.rules) {
    lines.push(`add rule ${T} ${chain.name} ${text} comment "${comment}"`);
  }
  return lines;
}

function mapStatements({ family, dnat, dnatHost, mark, markHost }: Names): string[] {
  const address = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const port = 'inet_proto . inet_service';
  return [
    `add map ${T} ${dnat} { type ${port} : ${address} . inet_service; }`,
    `add map ${T} ${dnatHost} { type ${address} . ${port} : ${address} . inet_service; }`,
    `add map ${T} ${mark} { type ${port} : verdict; }`,
    `add map ${T} ${markHost} { type ${address} . ${port} : verdict; }`,
  ];
}
