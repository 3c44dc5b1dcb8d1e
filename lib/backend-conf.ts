// The `Backend` object of net-conf.json: which way packets take between nodes, and that backend's own keys, with
// flannel's names and defaults.

import { closest } from './closest.ts';
import { type CommandLine, type CommandVariables, parseCommand } from './command-line.ts';
import { ConfigError, errorText } from './errors.ts';
import type { JsonPlace } from './json-fields.ts';
import { readBoolean, readField, readInteger, readObject, readString, unknownKeys } from './json-fields.ts';

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
  /** Peers on the external interface's own link are reached without the tunnel. */
  readonly directRouting: boolean;
}

export interface HostGwConf {
  readonly type: 'host-gw';
}

export interface AllocConf {
  readonly type: 'alloc';
}

export interface UdpConf {
  readonly type: 'udp';
  /** UDP port of every node, 1–65535. */
  readonly port: number;
}

/** Each command undefined when the key is absent or empty. */
export interface ExtensionConf {
  readonly type: 'extension';
  readonly preStartup: CommandLine | undefined;
  readonly postStartup: CommandLine | undefined;
  readonly subnetAdd: CommandLine | undefined;
  readonly subnetRemove: CommandLine | undefined;
  /** Not flannel's: run when the agent is told to stop. */
  readonly shutdown: CommandLine | undefined;
}

/** A backend of flannel's that Weft has not: the agent refuses it, and names what to use instead. */
export interface OtherBackendConf {
  readonly type: (typeof otherBackends)[number];
}

export type BackendConf = VxlanConf | HostGwConf | AllocConf | UdpConf | ExtensionConf | OtherBackendConf;

/** The port Linux gave VXLAN before IANA gave it 4789, and flannel's ever since. */
const DEFAULT_VXLAN_PORT = 8472;
const DEFAULT_UDP_PORT = 8285;

/** What a command of the extension backend may name as `$NAME`, by its key. */
const extensionVariables = {
  PreStartupCommand: [],
  PostStartupCommand: ['NETWORK', 'SUBNET', 'IPV6NETWORK', 'IPV6SUBNET', 'PUBLIC_IP', 'PUBLIC_IPV6'],
  SubnetAddCommand: ['SUBNET', 'IPV6SUBNET', 'PUBLIC_IP', 'PUBLIC_IPV6'],
  SubnetRemoveCommand: ['SUBNET', 'IPV6SUBNET', 'PUBLIC_IP', 'PUBLIC_IPV6'],
  ShutdownCommand: ['NETWORK', 'SUBNET', 'IPV6NETWORK', 'IPV6SUBNET', 'PUBLIC_IP', 'PUBLIC_IPV6'],
} as const satisfies Readonly<Record<string, CommandVariables>>;

const otherBackends = ['wireguard', 'ipip', 'ipsec', 'tencent-vpc'] as const;
const ourBackends = ['vxlan', 'host-gw', 'udp', 'alloc', 'extension'] as const;
/** What each backend reads; MacPrefix and Name are for Windows nodes of the same cluster. */
export const backendKeys = {
  vxlan: ['Type', 'VNI', 'Port', 'MTU', 'GBP', 'Learning', 'DirectRouting', 'MacPrefix', 'Name'],
  'host-gw': ['Type'],
  alloc: ['Type'],
  udp: ['Type', 'Port'],
  extension: [
    'Type',
    'PreStartupCommand',
    'PostStartupCommand',
    'SubnetAddCommand',
    'SubnetRemoveCommand',
    'ShutdownCommand',
  ],
} as const satisfies Readonly<Record<(typeof ourBackends)[number], readonly string[]>>;

/** Reads `Backend` of the document; throws ConfigError. `ipv6` says whether that family is enabled. */
export function readBackend(root: JsonPlace, ipv6: boolean, warnings: string[]): BackendConf {
  const place = readObject(root, 'Backend');
  // Differs from flannel (D4): its code takes udp here, against its documentation, which says vxlan.
  if (place === undefined) return readVxlan({ source: root.source, path: 'Backend', object: new Map() }, ipv6);
  const expected = `one of ${ourBackends.join(', ')}`;
  const type = readString(place, 'Type');
  if (type === undefined) {
    throw new ConfigError(
      root.source,
      'Backend.Type',
      `unknown backend type: expected ${expected}, but the key is missing`,
    );
  }
  const name = type.toLowerCase();
  const other = otherBackends.find((known) => known === name);
  if (other !== undefined) return { type: other };
  const ours = ourBackends.find((known) => known === name);
  if (ours === undefined)
    throw new ConfigError(
      root.source,
      'Backend.Type',
      `unknown backend type: ${JSON.stringify(type.slice(0, 64))}, expected ${expected}`,
    );
  warnings.push(...warnUnknown(place, backendKeys[ours]));
  return readers[ours](place, ipv6);
}

const readers: Readonly<Record<(typeof ourBackends)[number], (place: JsonPlace, ipv6: boolean) => BackendConf>> = {
  vxlan: readVxlan,
  'host-gw': () => ({ type: 'host-gw' }),
  alloc: () => ({ type: 'alloc' }),
  udp: (place) => ({ type: 'udp', port: readPort(place, DEFAULT_UDP_PORT) }),
  extension: readExtension,
};

/** One line for each key nobody reads, with what was probably meant. */
export function warnUnknown(place: JsonPlace, known: readonly string[]): string[] {
  return unknownKeys(place, known).map((path) => {
    const meant = closest(path.slice(path.lastIndexOf('.') + 1), known);
    return `${place.source}: ${path}: unknown key, ignored${meant === undefined ? '' : ` (did you mean ${meant}?)`}`;
  });
}

function readVxlan(place: JsonPlace, ipv6: boolean): VxlanConf {
  return {
    type: 'vxlan',
    vni: readInteger(place, 'VNI', 1, 0xffffff) ?? 1,
    port: readPort(place, DEFAULT_VXLAN_PORT),
    mtu: readMtu(place, ipv6),
    learning: readBoolean(place, 'Learning') ?? false,
    gbp: readBoolean(place, 'GBP') ?? false,
    directRouting: readBoolean(place, 'DirectRouting') ?? false,
  };
}

/** 0 is accepted because flannel documents it as "the default"; we say which port that is. */
function readPort(place: JsonPlace, standard: number): number {
  const port = readField(place, 'Port', `integer 1–65535 (or 0 for ${standard})`, (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65535 ? value : undefined,
  );
  return port || standard;
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

function readExtension(place: JsonPlace): ExtensionConf {
  const command = (key: keyof typeof extensionVariables): CommandLine | undefined => {
    const text = readString(place, key);
    if (text === undefined || text.trim() === '') return undefined;
    try {
      return parseCommand(text, extensionVariables[key]);
    } catch (error) {
      throw new ConfigError(place.source, `${place.path}.${key}`, errorText(error));
    }
  };
  return {
    type: 'extension',
    preStartup: command('PreStartupCommand'),
    postStartup: command('PostStartupCommand'),
    subnetAdd: command('SubnetAddCommand'),
    subnetRemove: command('SubnetRemoveCommand'),
    shutdown: command('ShutdownCommand'),
  };
}
