// The rules of the iptables backend, as iptables-save prints them and iptables-restore reads them. They are the Go plugin's
// (containernetworking/plugins plugins/meta/portmap/portmap_iptables.go), so that either removes what the other made.

import { formatIp, formatPrefix, type IpPrefix, networkOf } from '../../lib/ip.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { sha512Hex } from '../sha512.ts';
import { type Mapping, mappingsOf, type PortmapConfig, type Protocol } from './portmap-config.ts';

export const DNAT_CHAIN = 'CNI-HOSTPORT-DNAT';
export const SETMARK_CHAIN = 'CNI-HOSTPORT-SETMARK';
export const MASQ_CHAIN = 'CNI-HOSTPORT-MASQ';
/** The most ports of a multiport match. */
const PORTS_A_RULE = 15;
/** XT_MAX_COMMENT_LEN less its NUL. */
const COMMENT_LIMIT = 255;
/** iptables takes names of 28 characters. */
const CHAIN_LENGTH = 28;

/** The chain of a container: `CNI-DN-` and a hash; `CNI-SN-` in plugins from before 2018. */
export function containerChain(invocation: Invocation, containerId: string, kind: 'DN' | 'SN' = 'DN'): string {
  const hash = sha512Hex(invocation.sys.arena.encode(invocation.name + containerId));
  return `CNI-${kind}-${hash}`.slice(0, CHAIN_LENGTH);
}

/** The rules in a container's chain, in order, without `-A CHAIN`. */
export function chainRules(config: PortmapConfig, container: IpPrefix): string[] {
  const { family } = container.ip;
  return mappingsOf(config, family).flatMap((mapping) => {
    const match = matchOf(mapping);
    const target = config.externalSetMarkChain ?? SETMARK_CHAIN;
    const sources = config.snat ? markedSources(config, container) : [];
    const marks = sources.map((source) => `${source}${match} -j ${target}`);
    const address = family === 4 ? formatIp(container.ip) : `[${formatIp(container.ip)}]`;
    return [...marks, `${match} -j DNAT --to-destination ${address}:${mapping.containerPort}`];
  });
}

function matchOf({ protocol, hostPort, hostIp }: Mapping): string {
  const daddr = hostIp === undefined ? '' : `-d ${formatIp(hostIp)}/${hostIp.family === 4 ? 32 : 128} `;
  return `${daddr}-p ${protocol} -m ${protocol} --dport ${hostPort}`;
}

/** Packets whose source address is changed: those from the container's subnet (hairpin) and from loopback, or all. */
function markedSources(config: PortmapConfig, container: IpPrefix): string[] {
  if (config.masqAll) return [''];
  const subnet = `-s ${formatPrefix(networkOf(container))} `;
  return container.ip.family === 4 ? [subnet, '-s 127.0.0.1/32 '] : [subnet];
}

/** The rules in CNI-HOSTPORT-DNAT that lead to a container's chain. */
export function entryRules(invocation: Invocation, config: PortmapConfig, container: IpPrefix): string[] {
  const { family } = container.ip;
  const comment = quote(commentOf(invocation));
  const conditions = config.conditions[family].map((word) => ` ${quote(word)}`).join('');
  const chain = containerChain(invocation, invocation.containerId);
  return portGroups(mappingsOf(config, family)).map(
    ({ protocol, ports }) =>
      `-p ${protocol} -m comment --comment ${comment} -m multiport --dports ${ports.join(',')}${conditions} -j ${chain}`,
  );
}

function commentOf({ name, containerId }: Invocation): string {
  const text = `dnat name: "${name}" id: "${containerId}"`;
  return text.length <= COMMENT_LIMIT ? text : `${text.slice(0, COMMENT_LIMIT - 3)}...`;
}

/** The container's id in an entry rule of this network; undefined for any other rule. */
export function containerOfEntry(invocation: Invocation, line: string): string | undefined {
  const start = `"dnat name: \\"${invocation.name}\\" id: \\"`;
  const at = line.indexOf(start);
  if (at < 0) return undefined;
  const id = line.slice(at + start.length);
  const end = id.indexOf('\\"');
  return end < 0 ? undefined : id.slice(0, end);
}

/** The form in which iptables-restore reads a word: in quotes, with inner quotes escaped. */
function quote(word: string): string {
  return /^[\w./,:=!-]+$/.test(word) ? word : `"${word.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

interface PortGroup {
  readonly protocol: Protocol;
  readonly ports: readonly number[];
}

/** Sorted ports by protocol, in groups as large as a rule allows. */
function portGroups(mappings: readonly Mapping[]): PortGroup[] {
  const groups: PortGroup[] = [];
  for (const protocol of ['sctp', 'tcp', 'udp'] as const) {
    const all = new Set(mappings.filter((mapping) => mapping.protocol === protocol).map(({ hostPort }) => hostPort));
    const ports = [...all].sort((a, b) => a - b);
    for (let at = 0; at < ports.length; at += PORTS_A_RULE) {
      groups.push({ protocol, ports: ports.slice(at, at + PORTS_A_RULE) });
    }
  }
  return groups;
}

/** A rule that all mappings share, in the form of iptables-save without `-A CHAIN`. */
export interface SharedRule {
  readonly chain: string;
  readonly rule: string;
}

/** The shared rules; the last three only if we set the mark ourselves. */
export function sharedRules(config: PortmapConfig): SharedRule[] {
  const local = `-m addrtype --dst-type LOCAL -j ${DNAT_CHAIN}`;
  const entries = [
    { chain: 'PREROUTING', rule: local },
    { chain: 'OUTPUT', rule: local },
  ];
  if (!config.snat || config.externalSetMarkChain !== undefined) return entries;
  const mark = `0x${(2 ** config.markBit).toString(16)}`;
  return [
    ...entries,
    {
      chain: SETMARK_CHAIN,
      rule: `-m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark ${mark}/${mark}`,
    },
    { chain: MASQ_CHAIN, rule: `-m mark --mark ${mark}/${mark} -j MASQUERADE` },
    {
      chain: 'POSTROUTING',
      rule: `-m comment --comment "CNI portfwd requiring masquerade" -j ${MASQ_CHAIN}`,
    },
  ];
}
