// net-conf.json, the cluster's network configuration, as flannel reads it: the ConfigMap's document, or the value of
// etcd's <prefix>/config. Keys in any case, types strict; unknown keys are warnings, since flannel ignores them.

import { closest } from './closest.ts';
import { ConfigError } from './errors.ts';
import type { Ip, IpPrefix } from './ip.ts';
import { networkOf, parseIp, parsePrefix } from './ip.ts';
import type { JsonPlace } from './json-fields.ts';
import {
  fieldError,
  parsePlace,
  readBoolean,
  readField,
  readInteger,
  readObject,
  readString,
  readText,
  unknownKeys,
} from './json-fields.ts';

/** How one family's subnets are cut from its network, as configured: `subnetPool` (subnet-pool.ts) adds the defaults. */
export interface SubnetKeys {
  readonly length?: number | undefined;
  readonly min?: Ip | undefined;
  readonly max?: Ip | undefined;
}

export interface VxlanConf {
  readonly type: 'vxlan';
  /** 1–16777215. */
  readonly vni: number;
  /** UDP destination port, 1–65535. */
  readonly port: number;
  /** MTU of the underlay in bytes when configured; the device gets 50 (IPv6 underlay: 70) less. */
  readonly mtu: number | undefined;
  readonly learning: boolean;
  readonly gbp: boolean;
  readonly directRouting: boolean;
}

/** Another of flannel's backends: `options` are its keys, to be read by the file that implements it. */
export interface OtherBackendConf {
  readonly type: (typeof otherBackends)[number];
  readonly options: JsonPlace;
}

export type BackendConf = VxlanConf | OtherBackendConf;

export interface NetConf {
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  /** Undefined when the key is absent: the agent then chooses. */
  readonly enableNftables: boolean | undefined;
  /** Present exactly when IPv4 is enabled; host bits cleared. */
  readonly network: IpPrefix | undefined;
  /** Present exactly when IPv6 is enabled; host bits cleared. */
  readonly ipv6Network: IpPrefix | undefined;
  readonly subnets: SubnetKeys;
  readonly ipv6Subnets: SubnetKeys;
  readonly backend: BackendConf;
}

export interface ParsedNetConf {
  readonly config: NetConf;
  /** One line each: what is ignored, and what was probably meant. */
  readonly warnings: readonly string[];
}

/** The port Linux gave VXLAN before IANA gave it 4789, and flannel's ever since. */
const defaultVxlanPort = 8472;

const source = 'net-conf';
const otherBackends = ['host-gw', 'wireguard', 'ipip', 'ipsec', 'udp', 'alloc', 'extension', 'tencent-vpc'] as const;
const ipv4Cidr = 'an IPv4 CIDR such as "10.244.0.0/16"';
const ipv6Cidr = 'an IPv6 CIDR such as "fd00:10:244::/56"';
const topKeys = [
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
  'Backend',
];
/** MacPrefix and Name are for Windows nodes of the same cluster. */
const vxlanKeys = ['Type', 'VNI', 'Port', 'MTU', 'GBP', 'Learning', 'DirectRouting', 'MacPrefix', 'Name'];

/** Parses net-conf.json; throws ConfigError naming the key, the value and what is allowed. */
export function parseNetConf(text: string): ParsedNetConf {
  const root = parsePlace(source, text);
  const enableIpv4 = readBoolean(root, 'EnableIPv4') ?? true;
  const enableIpv6 = readBoolean(root, 'EnableIPv6') ?? false;
  if (!enableIpv4 && !enableIpv6) {
    throw new ConfigError(source, 'EnableIPv4', 'IPv4 and IPv6 are both off, expected at least one to be true');
  }
  const warnings = warnUnknown(root, topKeys);
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
      backend: readBackend(root, enableIpv6, warnings),
    },
    warnings,
  };
}

function warnUnknown(place: JsonPlace, known: readonly string[]): string[] {
  return unknownKeys(place, known).map((path) => {
    const meant = closest(path.slice(path.lastIndexOf('.') + 1), known);
    return `${source}: ${path}: unknown key, ignored${meant === undefined ? '' : ` (did you mean ${meant}?)`}`;
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
    if (network === undefined) throw new ConfigError(source, key, `expected ${expected}, but the key is missing`);
    return network;
  }
  if (network !== undefined) warnings.push(`${source}: ${key}: ignored, because EnableIPv${family} is not true`);
  return undefined;
}

function readAddress(root: JsonPlace, key: string, family: 4 | 6): Ip | undefined {
  return readText(root, key, `an IPv${family} address`, (text) => {
    const ip = parseIp(text);
    return ip.family === family ? ip : undefined;
  });
}

function readBackend(root: JsonPlace, ipv6: boolean, warnings: string[]): BackendConf {
  const place = readObject(root, 'Backend');
  // Differs from flannel (D4): its code takes udp here, against its documentation, which says vxlan.
  if (place === undefined) return readVxlan({ source, path: 'Backend', object: new Map() }, ipv6);
  const expected = `one of vxlan, ${otherBackends.join(', ')}`;
  const type = readString(place, 'Type');
  if (type === undefined) {
    throw new ConfigError(source, 'Backend.Type', `expected ${expected}, but the key is missing`);
  }
  const name = type.toLowerCase();
  if (name === 'vxlan') {
    warnings.push(...warnUnknown(place, vxlanKeys));
    return readVxlan(place, ipv6);
  }
  const other = otherBackends.find((known) => known === name);
  if (other === undefined) throw fieldError(place, 'Type', expected, type);
  return { type: other, options: place };
}

function readVxlan(place: JsonPlace, ipv6: boolean): VxlanConf {
  return {
    type: 'vxlan',
    vni: readInteger(place, 'VNI', 1, 0xffffff) ?? 1,
    port: readPort(place),
    mtu: readMtu(place, ipv6),
    learning: readBoolean(place, 'Learning') ?? false,
    gbp: readBoolean(place, 'GBP') ?? false,
    directRouting: readBoolean(place, 'DirectRouting') ?? false,
  };
}

/** 0 is accepted because flannel documents it as "the kernel's default"; we say which port that is. */
function readPort(place: JsonPlace): number {
  const port = readField(place, 'Port', `integer 1–65535 (or 0 for ${defaultVxlanPort})`, (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65535 ? value : undefined,
  );
  return port || defaultVxlanPort;
}

/**
 * The lowest underlay MTU that leaves pods the least their protocol needs: 68 bytes (RFC 791) + 50 of VXLAN over IPv4,
 * 1280 (RFC 8200) + 70 over IPv6. 0 means "take the interface's", as in flannel.
 */
function readMtu(place: JsonPlace, ipv6: boolean): number | undefined {
  const least = ipv6 ? 1350 : 118;
  const mtu = readField(place, 'MTU', `integer ${least}–65535 (or 0 for the interface's)`, (value) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) return undefined;
    return value === 0 || (value >= least && value <= 65535) ? value : undefined;
  });
  return mtu || undefined;
}
