// net-conf.json, the cluster's network configuration, as flannel reads it: the ConfigMap's document, or the value of
// etcd's <prefix>/config. Keys in any case, types strict; unknown keys are warnings, since flannel ignores them. Each backend
// reads its own keys of `Backend` (flanneld/backend/registry.ts).

import { closest } from './closest.ts';
import { ConfigError } from './errors.ts';
import type { Ip, IpPrefix } from './ip.ts';
import { formatPrefix, networkOf, parseIp, parsePrefix } from './ip.ts';
import type { JsonPlace } from './json-fields.ts';
import {
  fieldError,
  parsePlace,
  readBoolean,
  readInteger,
  readObject,
  readString,
  readStrings,
  readText,
  unknownKeys,
} from './json-fields.ts';

/** How the subnets of one family are cut from its network, as configured. `subnetPool` (subnet-pool.ts) adds the defaults. */
export interface SubnetKeys {
  readonly length?: number | undefined;
  readonly min?: Ip | undefined;
  readonly max?: Ip | undefined;
}

/** The `Backend` object. */
export interface BackendSection {
  /** Its `Type` in lower case; undefined when that key is missing. */
  readonly type: string | undefined;
  readonly place: JsonPlace;
}

export interface NetConf {
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  /** Undefined when the key is absent; then the agent chooses. */
  readonly enableNftables: boolean | undefined;
  /** Present exactly when IPv4 is enabled; host bits cleared. */
  readonly network: IpPrefix | undefined;
  /** Present exactly when IPv6 is enabled; host bits cleared. */
  readonly ipv6Network: IpPrefix | undefined;
  readonly subnets: SubnetKeys;
  readonly ipv6Subnets: SubnetKeys;
  /** Destinations outside the network for which pods are not masqueraded; host bits cleared, of enabled families. */
  readonly nonMasquerade: readonly IpPrefix[];
  readonly backend: BackendSection;
}

export interface ParsedNetConf {
  readonly config: NetConf;
  /** One line for each key that is ignored, with the key that was probably meant. */
  readonly warnings: readonly string[];
}

const source = 'net-conf';
const ipv4Cidr = 'an IPv4 CIDR such as "10.244.0.0/16"';
const ipv6Cidr = 'an IPv6 CIDR such as "fd00:10:244::/56"';
export const netConfKeys = [
  'EnableIPv4',
  'EnableIPv6',
  'EnableNFTables',
  'Network',
  'IPv6Network',
  'SubnetLen',
  'SubnetMin',
  'SubnetMax',
  'IPv6SubnetLen',
  'IPv6SubnetMin',
  'IPv6SubnetMax',
  'NonMasqueradeCIDRs',
  'Backend',
] as const;

/** Parses net-conf.json; throws ConfigError naming the key, the value and what is allowed. */
export function parseNetConf(text: string): ParsedNetConf {
  const root = parsePlace(source, text);
  const enableIpv4 = readBoolean(root, 'EnableIPv4') ?? true;
  const enableIpv6 = readBoolean(root, 'EnableIPv6') ?? false;
  if (!enableIpv4 && !enableIpv6) {
    throw new ConfigError(
      source,
      'EnableIPv4',
      'none defined stack: IPv4 and IPv6 are both off, expected at least one to be true',
    );
  }
  const warnings = warnUnknown(root, netConfKeys);
  const network = readNetwork(root, 'Network', 4, enableIpv4, warnings);
  const ipv6Network = readNetwork(root, 'IPv6Network', 6, enableIpv6, warnings);
  return {
    config: {
      enableIpv4,
      enableIpv6,
      enableNftables: readBoolean(root, 'EnableNFTables'),
      network,
      ipv6Network,
      subnets: {
        length: readInteger(root, 'SubnetLen', 0, 32) || undefined, // 0 is Go's "not set"
        min: readAddress(root, 'SubnetMin', 4),
        max: readAddress(root, 'SubnetMax', 4),
      },
      ipv6Subnets: {
        length: readInteger(root, 'IPv6SubnetLen', 0, 128) || undefined,
        min: readAddress(root, 'IPv6SubnetMin', 6),
        max: readAddress(root, 'IPv6SubnetMax', 6),
      },
      nonMasquerade: readNonMasquerade(root, { 4: enableIpv4, 6: enableIpv6 }, warnings),
      backend: readBackend(root),
    },
    warnings,
  };
}

/** Differs from flannel (D4): without `Backend`, flannel uses udp, although its documentation says vxlan. */
function readBackend(root: JsonPlace): BackendSection {
  const place = readObject(root, 'Backend');
  if (place === undefined) return { type: 'vxlan', place: { source, path: 'Backend', object: new Map() } };
  return { type: readString(place, 'Type')?.toLowerCase(), place };
}

/** Returns one line for each key that no code reads, with the key that was probably meant. */
export function warnUnknown(place: JsonPlace, known: readonly string[]): string[] {
  return unknownKeys(place, known).map((path) => {
    const meant = closest(path.slice(path.lastIndexOf('.') + 1), known);
    return `${place.source}: ${path}: unknown key, ignored${meant === undefined ? '' : ` (did you mean ${meant}?)`}`;
  });
}

function readNetwork(
  root: JsonPlace,
  key: string,
  family: 4 | 6,
  enabled: boolean,
  warnings: string[],
): IpPrefix | undefined {
  const expected = family === 4 ? ipv4Cidr : ipv6Cidr;
  const network = readText(root, key, expected, (text) => {
    const prefix = parsePrefix(text);
    return prefix.ip.family === family ? networkOf(prefix) : undefined;
  });
  if (enabled) {
    if (network === undefined) {
      const complaint = `please define a correct ${key} parameter in the flannel config`;
      const meant = closest(key, unknownKeys(root, netConfKeys));
      const slip = meant === undefined ? '' : ` (is ${JSON.stringify(meant)} meant to be it?)`;
      throw new ConfigError(source, key, `${complaint}: expected ${expected}, but the key is missing${slip}`);
    }
    return network;
  }
  if (network !== undefined) warnings.push(`${source}: ${key}: ignored, because EnableIPv${family} is not true`);
  return undefined;
}

/** The key NonMasqueradeCIDRs is Weft's own; flannel ignores it. */
function readNonMasquerade(root: JsonPlace, enabled: Readonly<Record<4 | 6, boolean>>, warnings: string[]): IpPrefix[] {
  const prefixes = readStrings(root, 'NonMasqueradeCIDRs')?.map((text, index) => {
    try {
      return networkOf(parsePrefix(text));
    } catch {
      throw fieldError(root, `NonMasqueradeCIDRs[${index}]`, 'a CIDR such as "10.0.0.0/8" or "fd00::/8"', text);
    }
  });
  return (prefixes ?? []).filter((prefix) => {
    const { family } = prefix.ip;
    if (!enabled[family]) {
      const text = formatPrefix(prefix);
      warnings.push(`${source}: NonMasqueradeCIDRs: ${text} ignored, because EnableIPv${family} is not true`);
    }
    return enabled[family];
  });
}

function readAddress(root: JsonPlace, key: string, family: 4 | 6): Ip | undefined {
  return readText(root, key, `an IPv${family} address`, (text) => {
    const ip = parseIp(text);
    return ip.family === family ? ip : undefined;
  });
}
