// flannel's lease keys and values in etcd (its pkg/subnet/etcd). A key is `10.12.13.0-24` or `10.12.13.0-24&fd00:12:13::-56`
// under <prefix>/subnets/; its value is what the node advertises. They are read strictly, because anybody may have written them.

import { ConfigError, errorText } from '../../../lib/errors.ts';
import type { Family, Ip, IpPrefix } from '../../../lib/ip.ts';
import { formatIp, isUnspecified, networkOf, parseIp, samePrefix } from '../../../lib/ip.ts';
import { jsonObject, stringifyJson } from '../../../lib/json.ts';
import { parsePlace } from '../../../lib/json-fields.ts';
import { MAX_LEASE_BYTES, readAttributes } from '../lease-file.ts';
import type { Lease } from '../manager.ts';

export interface Subnets {
  readonly subnet?: IpPrefix;
  readonly ipv6Subnet?: IpPrefix;
}

/** flannel's limits: a subnet must have room for a bridge and one pod. */
const longestPrefix = { 4: 31, 6: 127 } as const;
/** What flannel writes in the key of an IPv6-only node instead of an IPv4 subnet. */
const noIpv4: IpPrefix = { ip: { family: 4, value: 0n }, length: 0 };

/** The key of a lease below `<prefix>/subnets/`. */
export function formatLeaseKey({ subnet, ipv6Subnet }: Subnets): string {
  const parts = [subnet ?? noIpv4, ...(ipv6Subnet ? [ipv6Subnet] : [])];
  return parts.map(({ ip, length }) => `${formatIp(ip)}-${length}`).join('&');
}

/** Throws ConfigError when the key does not have flannel's form. */
export function parseLeaseKey(key: string): Subnets {
  const parts = key.split('&');
  const [first = '', second] = parts;
  if (parts.length > 2) throw keyError(key);
  const subnet = parsePart(key, first, 4);
  const ipv6Subnet = second === undefined ? undefined : parsePart(key, second, 6);
  if (samePrefix(subnet, noIpv4)) {
    if (ipv6Subnet === undefined) throw keyError(key);
    return { ipv6Subnet };
  }
  return { subnet, ...(ipv6Subnet && { ipv6Subnet }) };
}

function parsePart(key: string, part: string, family: Family): IpPrefix {
  const [, address = '', digits = ''] = /^([0-9a-fA-F.:]+)-([0-9]{1,3})$/.exec(part) ?? [];
  const length = Number(digits);
  let ip: Ip;
  try {
    ip = parseIp(address);
  } catch {
    throw keyError(key);
  }
  const prefix = { ip, length };
  if (ip.family !== family || digits === '' || length > longestPrefix[family]) throw keyError(key);
  if (!samePrefix(networkOf(prefix), prefix)) throw keyError(key);
  return prefix;
}

function keyError(key: string): ConfigError {
  const expected = 'expected a subnet such as 10.12.13.0-24 or 10.12.13.0-24&fd00:12:13::-56';
  return new ConfigError('etcd', '', `key ${JSON.stringify(key.slice(0, 128))} is no lease, ${expected}`);
}

/** The lease under `key`; throws ConfigError. */
export function parseLeaseEntry(key: string, value: string): Lease {
  const subnets = parseLeaseKey(key);
  if (value.length > MAX_LEASE_BYTES) throw new ConfigError(key, '', `is larger than ${MAX_LEASE_BYTES} bytes`);
  const { publicIp, publicIpv6, ...attributes } = readAttributes(parsePlace(key, value));
  return {
    ...subnets,
    ...attributes,
    ...(publicIp && !isUnspecified(publicIp) && { publicIp }),
    ...(publicIpv6 && !isUnspecified(publicIpv6) && { publicIpv6 }),
  };
}

/** The value as flannel writes it, byte for byte. An IPv6-only node writes 0.0.0.0, as flannel cannot leave IPv4 out. */
export function renderLeaseValue(lease: Lease): string {
  const object = jsonObject({
    PublicIP: lease.publicIp ? formatIp(lease.publicIp) : '0.0.0.0',
    PublicIPv6: lease.publicIpv6 ? formatIp(lease.publicIpv6) : null,
    BackendType: lease.backendType === '' ? undefined : lease.backendType,
    BackendData: lease.backendData,
    BackendV6Data: lease.backendV6Data,
  });
  return stringifyJson(object, { goEscapes: true });
}

/** The problem with a key, for messages. */
export function problemOf(key: string, error: unknown): { readonly key: string; readonly reason: string } {
  return { key: key.slice(0, 128), reason: errorText(error) };
}
