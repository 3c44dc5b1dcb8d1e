// subnet.env, the file by which the agent passes this node's subnets to the CNI executable and others. The format is flannel's
// (pkg/subnet/subnet.go), and so are the error texts of the CNI side, because operators search for them.

import type { Ip, IpPrefix } from './ip.ts';
import { addToIp, formatPrefix, networkOf, parsePrefix, samePrefix } from './ip.ts';
import { atomicReplace, makeDirs } from './sys/file.ts';
import type { Syscalls } from './sys/syscalls.ts';

export const defaultSubnetFile = '/run/flannel/subnet.env';

/** What subnet.env says: at least one family, each with networks and subnet or without both. */
export interface SubnetEnv {
  /** Cluster networks, in file order without duplicates, host bits clear; empty when the family is off. */
  readonly networks: readonly IpPrefix[];
  /** This node's subnet as written: an address with host bits (`10.244.1.1/24`). */
  readonly subnet: IpPrefix | undefined;
  readonly ipv6Networks: readonly IpPrefix[];
  readonly ipv6Subnet: IpPrefix | undefined;
  /** Bytes. */
  readonly mtu: number;
  readonly ipMasq: boolean;
}

/** What is wrong with the text of a subnet.env, in flannel's words, without file name or prefix. */
export class SubnetEnvError extends Error {
  override readonly name = 'SubnetEnvError';
}

const keys = [
  'FLANNEL_NETWORK',
  'FLANNEL_SUBNET',
  'FLANNEL_IPV6_NETWORK',
  'FLANNEL_IPV6_SUBNET',
  'FLANNEL_MTU',
  'FLANNEL_IPMASQ',
] as const;
type Key = (typeof keys)[number];

/** The known keys of the text; other keys, comments and blank lines are ignored, the last of a repeated key counts. */
function readKeys(text: string): ReadonlyMap<Key, string> {
  const values = new Map<Key, string>();
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    const equals = line.indexOf('=');
    const key = keys.find((known) => known === (equals < 0 ? line : line.slice(0, equals)));
    if (key === undefined) continue;
    // Differs from flannel, which crashes on a known key without "=".
    if (equals < 0) throw new SubnetEnvError(`line without value: ${key}`);
    values.set(key, line.slice(equals + 1));
  }
  return values;
}

/**
 * Parses the text of `file` (named only in messages); throws SubnetEnvError with flannel's texts:
 * `<file> is missing FLANNEL_MTU`, `invalid CIDR address: foo`, `strconv.ParseUint: parsing "abc": invalid syntax`.
 */
export function parseSubnetEnv(text: string, file: string): SubnetEnv {
  const values = readKeys(text);
  const env = {
    networks: readNetworks(values, 'FLANNEL_NETWORK', 4),
    subnet: readSubnet(values, 'FLANNEL_SUBNET', 4),
    ipv6Networks: readNetworks(values, 'FLANNEL_IPV6_NETWORK', 6),
    ipv6Subnet: readSubnet(values, 'FLANNEL_IPV6_SUBNET', 6),
  };
  const missing = missingKeys(values);
  if (missing.length > 0) throw new SubnetEnvError(`${file} is missing ${missing.join(', ')}`);
  return { ...env, mtu: parseMtu(values.get('FLANNEL_MTU') ?? ''), ipMasq: values.get('FLANNEL_IPMASQ') === 'true' };
}

/** As in flannel, the keys of either family are enough, and both are named when neither is there. Then the keys that only Weft requires. */
function missingKeys(values: ReadonlyMap<Key, string>): Key[] {
  const missing: Key[] = [];
  const network4 = values.has('FLANNEL_NETWORK');
  const network6 = values.has('FLANNEL_IPV6_NETWORK');
  const subnet4 = values.has('FLANNEL_SUBNET');
  const subnet6 = values.has('FLANNEL_IPV6_SUBNET');
  if (!network4 && !network6) missing.push('FLANNEL_NETWORK', 'FLANNEL_IPV6_NETWORK');
  if (!subnet4 && !subnet6) missing.push('FLANNEL_SUBNET', 'FLANNEL_IPV6_SUBNET');
  if (!values.has('FLANNEL_MTU')) missing.push('FLANNEL_MTU');
  if (!values.has('FLANNEL_IPMASQ')) missing.push('FLANNEL_IPMASQ');
  if (missing.length > 0) return missing;
  // Differs from flannel, which gives pods half a family: addresses without a route to the other nodes, or the reverse.
  if (network4 !== subnet4) missing.push(network4 ? 'FLANNEL_SUBNET' : 'FLANNEL_NETWORK');
  if (network6 !== subnet6) missing.push(network6 ? 'FLANNEL_IPV6_SUBNET' : 'FLANNEL_IPV6_NETWORK');
  return missing;
}

function readCidr(text: string, family: 4 | 6): IpPrefix {
  let prefix: IpPrefix | undefined;
  try {
    prefix = parsePrefix(text);
  } catch (error) {
    throw new SubnetEnvError(error instanceof Error ? error.message : String(error));
  }
  // A prefix of the other family would be put into the wrong route table.
  if (prefix.ip.family !== family) throw new SubnetEnvError(`invalid CIDR address: ${text}: not IPv${family}`);
  return prefix;
}

function readNetworks(values: ReadonlyMap<Key, string>, key: Key, family: 4 | 6): IpPrefix[] {
  const networks: IpPrefix[] = [];
  const value = values.get(key);
  if (value === undefined) return networks;
  for (const item of value.split(',')) {
    const network = networkOf(readCidr(item.trim(), family));
    if (!networks.some((earlier) => samePrefix(earlier, network))) networks.push(network);
  }
  return networks;
}

function readSubnet(values: ReadonlyMap<Key, string>, key: Key, family: 4 | 6): IpPrefix | undefined {
  const value = values.get(key);
  return value === undefined ? undefined : readCidr(value, family);
}

function parseMtu(text: string): number {
  if (!/^[0-9]{1,10}$/.test(text)) {
    throw new SubnetEnvError(`strconv.ParseUint: parsing ${JSON.stringify(text.slice(0, 64))}: invalid syntax`);
  }
  const mtu = Number(text);
  // The kernel's own limits: IP_MAX_MTU (65535) above, and the least IPv4 MTU (RFC 791) below.
  if (mtu < 68 || mtu > 65535) throw new SubnetEnvError(`FLANNEL_MTU: expected 68–65535, got ${mtu}`);
  return mtu;
}

/** What the agent writes. The subnets are networks; the file gets their first address. */
export interface SubnetEnvContent {
  readonly network?: IpPrefix | undefined;
  readonly subnet?: IpPrefix | undefined;
  readonly ipv6Network?: IpPrefix | undefined;
  readonly ipv6Subnet?: IpPrefix | undefined;
  readonly mtu: number;
  readonly ipMasq: boolean;
}

/** The text of subnet.env byte for byte as flannel writes it, each subnet as its base address + 1. */
export function renderSubnetEnv(content: SubnetEnvContent): string {
  const lines: string[] = [];
  if (content.network && content.subnet) {
    lines.push(`FLANNEL_NETWORK=${formatPrefix(content.network)}`, `FLANNEL_SUBNET=${gatewayOf(content.subnet)}`);
  }
  if (content.ipv6Network && content.ipv6Subnet) {
    lines.push(`FLANNEL_IPV6_NETWORK=${formatPrefix(content.ipv6Network)}`);
    lines.push(`FLANNEL_IPV6_SUBNET=${gatewayOf(content.ipv6Subnet)}`);
  }
  lines.push(`FLANNEL_MTU=${content.mtu}`, `FLANNEL_IPMASQ=${content.ipMasq}`, '');
  return lines.join('\n');
}

function gatewayOf(subnet: IpPrefix): string {
  const gateway: Ip = addToIp(networkOf(subnet).ip, 1);
  return formatPrefix({ ip: gateway, length: subnet.length });
}

/** Replaces subnet.env atomically and durably with mode 0644, making its directory (0755) when it is missing. */
export function writeSubnetEnv(sys: Syscalls, file: string, content: SubnetEnvContent): void {
  const slash = file.lastIndexOf('/');
  if (slash > 0) makeDirs(sys, file.slice(0, slash), 0o755);
  atomicReplace(sys, file, renderSubnetEnv(content), 0o644, { durable: true });
}
