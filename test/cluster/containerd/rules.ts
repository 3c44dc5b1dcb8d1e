// Reads the agent's rules with the node's own programs, and has the lines that flannel's tests expect. Weft differs from flannel in
// nftables: it has one table named weft, with the rules and the order that flannel has in iptables (D23).

import { formatPrefix, networkOf, parsePrefix } from '../../../lib/ip.ts';
import { SUBNET_FILE } from '../../lab/contract.ts';
import type { LabNode } from '../../lab/lab-node.ts';

export type Flavour = 'iptables' | 'nftables';
export type Family = 4 | 6;

/** Two lists of lines that must be equal. */
interface Rules {
  readonly found: readonly string[];
  readonly wanted: readonly string[];
}

export async function compareRules(node: LabNode, flavour: Flavour, family: Family): Promise<Rules> {
  const [network, subnet] = networksOf(node, family);
  const multicast = family === 4 ? '224.0.0.0/4' : 'ff00::/8';
  return flavour === 'iptables'
    ? { found: await listIptables(node, family), wanted: iptablesLines(network, subnet, multicast) }
    : { found: await listNftables(node, family), wanted: nftablesLines(family, network, subnet, multicast) };
}

/** The cluster's network and the node's subnet. */
function networksOf(node: LabNode, family: Family): [string, string] {
  const key = family === 4 ? 'FLANNEL' : 'FLANNEL_IPV6';
  const read = (name: string): string => {
    const value = new RegExp(`^${key}_${name}=(.*)$`, 'm').exec(node.readFile(SUBNET_FILE))?.[1];
    if (value === undefined) throw new Error(`no ${key}_${name} in ${SUBNET_FILE} of ${node.name}`);
    return formatPrefix(networkOf(parsePrefix(value)));
  };
  return [read('NETWORK'), read('SUBNET')];
}

/** All rules in FORWARD, and flannel's rules in POSTROUTING, where the runtime's plugins also have rules. */
async function listIptables(node: LabNode, family: Family): Promise<string[]> {
  const program = family === 4 ? 'iptables' : 'ip6tables';
  const list = async (table: string, chain: string): Promise<string[]> =>
    lines(await node.run([program, '--table', table, '--list-rules', chain]));
  return [
    ...(await list('nat', 'POSTROUTING')).filter((line) => line.includes('FLANNEL')),
    ...(await list('nat', 'FLANNEL-POSTRTG')),
    ...(await list('filter', 'FORWARD')),
    ...(await list('filter', 'FLANNEL-FWD')),
  ];
}

function iptablesLines(network: string, subnet: string, multicast: string): string[] {
  const masquerade = '-m comment --comment "flanneld masq" -j';
  const forward = '-m comment --comment "flanneld forward" -j';
  return [
    `-A POSTROUTING ${masquerade} FLANNEL-POSTRTG`,
    '-N FLANNEL-POSTRTG',
    `-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 ${masquerade} RETURN`,
    `-A FLANNEL-POSTRTG -s ${subnet} -d ${network} ${masquerade} RETURN`,
    `-A FLANNEL-POSTRTG -s ${network} -d ${subnet} ${masquerade} RETURN`,
    `-A FLANNEL-POSTRTG ! -s ${network} -d ${subnet} ${masquerade} RETURN`,
    `-A FLANNEL-POSTRTG -s ${network} ! -d ${multicast} ${masquerade} MASQUERADE --random-fully`,
    `-A FLANNEL-POSTRTG ! -s ${network} -d ${network} ${masquerade} MASQUERADE --random-fully`,
    '-P FORWARD ACCEPT',
    `-A FORWARD ${forward} FLANNEL-FWD`,
    '-N FLANNEL-FWD',
    `-A FLANNEL-FWD -s ${network} ${forward} ACCEPT`,
    `-A FLANNEL-FWD -d ${network} ${forward} ACCEPT`,
  ];
}

async function listNftables(node: LabNode, family: Family): Promise<string[]> {
  return lines(await node.run(['nft', 'list', 'table', ipWord(family), 'weft']));
}

function nftablesLines(family: Family, network: string, subnet: string, multicast: string): string[] {
  const ip = ipWord(family);
  return [
    `table ${ip} weft {`,
    'chain postrouting {',
    'type nat hook postrouting priority srcnat; policy accept;',
    'meta mark & 0x00004000 == 0x00004000 return',
    `${ip} saddr ${subnet} ${ip} daddr ${network} return`,
    `${ip} saddr ${network} ${ip} daddr ${subnet} return`,
    `${ip} saddr != ${network} ${ip} daddr ${subnet} return`,
    `${ip} saddr ${network} ${ip} daddr != ${multicast} masquerade fully-random`,
    `${ip} saddr != ${network} ${ip} daddr ${network} masquerade fully-random`,
    '}',
    'chain forward {',
    'type filter hook forward priority filter; policy accept;',
    `${ip} saddr ${network} accept`,
    `${ip} daddr ${network} accept`,
    '}',
    '}',
  ];
}

function ipWord(family: Family): string {
  return family === 4 ? 'ip' : 'ip6';
}

/** The text's lines, trimmed and without empty ones. */
function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
