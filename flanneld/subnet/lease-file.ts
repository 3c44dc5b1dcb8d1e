// One lease as a JSON file. It has the keys of flannel's etcd value (PublicIP, PublicIPv6, BackendType, BackendData, BackendV6Data), the
// keys Subnet and IPv6Subnet, which etcd has in the key, and MoveData, which only Weft's files have. It is read strictly: anybody may have
// written it.

import { ConfigError } from '../../lib/errors.ts';
import type { Family, Ip, IpPrefix } from '../../lib/ip.ts';
import {
  formatIp,
  formatPrefix,
  isLoopback,
  isMulticast,
  isUnspecified,
  networkOf,
  parseIp,
  parsePrefix,
  samePrefix,
} from '../../lib/ip.ts';
import type { JsonValue } from '../../lib/json.ts';
import { field, jsonObject, stringifyJson } from '../../lib/json.ts';
import type { JsonPlace } from '../../lib/json-fields.ts';
import { parsePlace, readList, readString, readText } from '../../lib/json-fields.ts';
import type { Lease, LeaseAttributes } from './manager.ts';

/** Far more than a lease needs; longer files are refused. */
export const MAX_LEASE_BYTES = 64 * 1024;

/** Parses the text of the file called `name`; throws ConfigError `<name>: <key>: expected …, got …`. */
export function parseLeaseFile(name: string, text: string): Lease {
  return readLease(parsePlace(name, text));
}

/** Reads a lease out of a document; throws ConfigError. */
export function readLease(place: JsonPlace): Lease {
  const subnet = readSubnet(place, 'Subnet', 4, '10.244.1.0/24');
  const ipv6Subnet = readSubnet(place, 'IPv6Subnet', 6, 'fd00:10:244:1::/64');
  if (subnet === undefined && ipv6Subnet === undefined) {
    throw new ConfigError(place.source, place.path, 'has neither Subnet nor IPv6Subnet');
  }
  const hostAddresses = readHostAddresses(place);
  return {
    ...readAttributes(place),
    ...(subnet && { subnet }),
    ...(ipv6Subnet && { ipv6Subnet }),
    ...(hostAddresses && { hostAddresses }),
  };
}

/** Undefined when the key is absent; throws ConfigError when it is no list. */
function readHostAddresses(place: JsonPlace): readonly Ip[] | undefined {
  const list = readList(place, 'HostAddresses');
  return list && hostAddressesIn(list.map((item) => (typeof item === 'string' ? item : '')));
}

/** More than a real node has. */
const MOST_HOST_ADDRESSES = 16;

/** The texts that are addresses a node can send from. Others are left out without an error: the list only lets more packets in. */
export function hostAddressesIn(texts: readonly string[]): Ip[] {
  return texts.slice(0, MOST_HOST_ADDRESSES).flatMap((text) => {
    try {
      const ip = parseIp(text);
      return isUnspecified(ip) || isLoopback(ip) || isMulticast(ip) ? [] : [ip];
    } catch {
      return [];
    }
  });
}

/** Reads the keys of flannel's etcd value; throws ConfigError. */
export function readAttributes(place: JsonPlace): LeaseAttributes {
  const publicIp = readAddress(place, 'PublicIP', 4);
  const publicIpv6 = readAddress(place, 'PublicIPv6', 6);
  const backendData = field(place.object, 'BackendData');
  const backendV6Data = field(place.object, 'BackendV6Data');
  const moveData = field(place.object, 'MoveData');
  return {
    backendType: readString(place, 'BackendType') ?? '',
    ...(publicIp && { publicIp }),
    ...(publicIpv6 && { publicIpv6 }),
    ...(backendData !== undefined && { backendData }),
    ...(backendV6Data !== undefined && { backendV6Data }),
    ...(moveData !== undefined && { moveData }),
  };
}

function readSubnet(place: JsonPlace, key: string, family: Family, example: string): IpPrefix | undefined {
  return readText(place, key, `an IPv${family} subnet such as "${example}"`, (text) => {
    const prefix = parsePrefix(text);
    return prefix.ip.family === family && samePrefix(networkOf(prefix), prefix) ? prefix : undefined;
  });
}

/** An address of that family; undefined when the key is absent. Throws ConfigError. */
export function readAddress(place: JsonPlace, key: string, family: Family): Ip | undefined {
  return readText(place, key, `an IPv${family} address`, (text) => {
    const ip = parseIp(text);
    return ip.family === family ? ip : undefined;
  });
}

/** The file's text; equal leases give equal text. */
export function renderLeaseFile(lease: Lease): string {
  return `${stringifyJson(jsonObject(leaseFields(lease)), { indent: 2 })}\n`;
}

/** The fields that `readLease` reads; those that the lease lacks are undefined. */
export function leaseFields(lease: Lease): Readonly<Record<string, JsonValue | undefined>> {
  return {
    Subnet: lease.subnet && formatPrefix(lease.subnet),
    IPv6Subnet: lease.ipv6Subnet && formatPrefix(lease.ipv6Subnet),
    PublicIP: lease.publicIp && formatIp(lease.publicIp),
    PublicIPv6: lease.publicIpv6 && formatIp(lease.publicIpv6),
    HostAddresses: lease.hostAddresses?.map(formatIp),
    BackendType: lease.backendType,
    BackendData: lease.backendData,
    BackendV6Data: lease.backendV6Data,
    MoveData: lease.moveData,
  };
}
