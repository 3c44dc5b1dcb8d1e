// The machine: versions, kernel settings, counters, and all rules in nftables and iptables.

import { readdirSync, readFileSync } from 'node:fs';
import { arch, version as kernelVersion, release } from 'node:os';
import { execProgram } from '../../../lib/exec-node.ts';
import { version } from '../../../lib/version.ts';
import type { Sources } from './sources.ts';

const TIMEOUT_MS = 10_000;
const COUNTERS = ['snmp', 'snmp6', 'netstat', 'dev', 'softnet_stat', 'udp', 'udp6'];
const SYSCTLS = [
  ...[
    'net/ipv4/ip_forward',
    'net/ipv6/conf/all/forwarding',
    'net/ipv6/conf/all/disable_ipv6',
    'net/ipv4/ping_group_range',
  ],
  ...[
    'net/bridge/bridge-nf-call-iptables',
    'net/bridge/bridge-nf-call-ip6tables',
    'net/bridge/bridge-nf-call-arptables',
  ],
  ...['net/netfilter/nf_conntrack_max', 'net/netfilter/nf_conntrack_count'],
  ...['net/ipv4/neigh/default/gc_thresh1', 'net/ipv4/neigh/default/gc_thresh2', 'net/ipv4/neigh/default/gc_thresh3'],
];
const OF_DEVICES = ['forwarding', 'rp_filter', 'accept_local', 'arp_ignore', 'arp_announce', 'proxy_arp'];
/** Pods' ports have the settings of their bridge, and a node may have hundreds of them. */
const POD_PORT = /^veth/;

/** Counters, by the name of the file that has them. */
export function procTexts(): Sources {
  return COUNTERS.map((name) => [`counters/${name}`, () => readFileSync(`/proc/net/${name}`, 'utf8')]);
}

export function programTexts(): Sources {
  const output = (...argv: readonly [string, ...string[]]): Promise<string> =>
    execProgram(argv, { timeoutMs: TIMEOUT_MS }).then(({ stdout }) => stdout);
  const saves = ['iptables-save', 'ip6tables-save', 'iptables-legacy-save', 'ip6tables-legacy-save'];
  return [
    ['versions.txt', () => versions(output)],
    ['sysctl.txt', sysctls],
    ['rules/nft.txt', () => output('nft', '-a', 'list', 'ruleset')],
    ...saves.map((name) => [`rules/${name}.txt`, () => output(name)] as const),
  ];
}

async function versions(output: (...argv: [string, ...string[]]) => Promise<string>): Promise<string> {
  const said = async (...argv: [string, ...string[]]): Promise<string> =>
    `${argv[0]}: ${(await output(...argv).catch(() => 'not there')).trim()}`;
  const os = readFileSync('/etc/os-release', 'utf8')
    .split('\n')
    .find((line) => line.startsWith('PRETTY_NAME='));
  return [
    `weft: ${version}`,
    `kernel: ${release()} ${kernelVersion()} ${arch()}`,
    `node: ${process.version}`,
    `image: ${os ?? 'unknown'}`,
    await said('nft', '--version'),
    await said('iptables', '--version'),
    '',
  ].join('\n');
}

function sysctls(): string {
  const devices = readdirSync('/proc/sys/net/ipv4/conf').filter((name) => !POD_PORT.test(name));
  const ofDevices = devices.flatMap((device) => OF_DEVICES.map((name) => `net/ipv4/conf/${device}/${name}`));
  return [...SYSCTLS, ...ofDevices].map((path) => `${path} = ${readSetting(path)}\n`).join('');
}

function readSetting(path: string): string {
  try {
    return readFileSync(`/proc/sys/${path}`, 'utf8').trim().replaceAll('\t', ' ');
  } catch {
    return 'not there';
  }
}
