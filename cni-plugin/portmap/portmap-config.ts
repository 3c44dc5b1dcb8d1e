// The portmap plugin's configuration, defaults and errors (containernetworking/plugins plugins/meta/portmap/main.go).

import { type Family, type Ip, type IpPrefix, parseIp } from '../../lib/ip.ts';
import { field, isJsonObject } from '../../lib/json.ts';
import { failure, withPrefix } from '../protocol/error.ts';
import {
  boolField,
  type Fields,
  intField,
  objectField,
  objectsField,
  stringField,
  stringsField,
} from '../protocol/fields.ts';
import type { Invocation } from '../protocol/plugin.ts';
import type { Result } from '../protocol/result.ts';
import { parsePrevResult } from '../protocol/result-parse.ts';

export type Backend = 'nftables' | 'iptables';
export type Protocol = 'tcp' | 'udp' | 'sctp';

export interface Mapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: Protocol;
  /** When absent, every address of the host in both families. */
  readonly hostIp: Ip | undefined;
}

export interface PortmapConfig {
  /** When absent, whichever works, with nftables tried first. */
  readonly backend: Backend | undefined;
  readonly snat: boolean;
  readonly masqAll: boolean;
  /** The bit, 0–31, that marks packets whose source must be changed. */
  readonly markBit: number;
  /** For iptables only: another program's chain that sets the mark. */
  readonly externalSetMarkChain: string | undefined;
  /** Words in front of the entry rule, in the backend's language. */
  readonly conditions: Readonly<Record<Family, readonly string[]>>;
  readonly mappings: readonly Mapping[];
}

/** Kubernetes uses 14 and 15, Calico 20 to 31. */
const DEFAULT_MARK_BIT = 13;

/** The previous plugin's result; undefined when there was none. Throws CniError 999. */
export function previousResult(invocation: Invocation): Result | undefined {
  const prevResult = field(invocation.config, 'prevResult');
  return isJsonObject(prevResult) ? parsePrevResult(prevResult, invocation.version) : undefined;
}

/** Reads the configuration. Throws CniError 999, `failed to parse config: …`. */
export function readConfig(invocation: Invocation): PortmapConfig {
  return withPrefix('failed to parse config: ', () => {
    const root: Fields = { path: '', object: invocation.config };
    const marking = readMarking(root);
    const conditions = { 4: stringsField(root, 'conditionsV4'), 6: stringsField(root, 'conditionsV6') };
    return {
      backend: readBackend(root, conditions),
      snat: boolField(root, 'snat') ?? true,
      masqAll: boolField(root, 'masqAll') ?? false,
      ...marking,
      conditions,
      mappings: readMappings(root),
    };
  });
}

function readMarking(root: Fields): Pick<PortmapConfig, 'markBit' | 'externalSetMarkChain'> {
  const markBit = intField(root, 'markMasqBit');
  const chain = stringField(root, 'externalSetMarkChain');
  if (markBit !== undefined && chain !== '') throw failure('Cannot specify externalSetMarkChain and markMasqBit');
  if (markBit !== undefined && (markBit < 0 || markBit > 31)) throw failure('MasqMarkBit must be between 0 and 31');
  if (chain !== '' && !/^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,27}$/.test(chain)) {
    throw failure(`externalSetMarkChain: expected the name of a chain, got ${JSON.stringify(chain)}`);
  }
  return { markBit: markBit ?? DEFAULT_MARK_BIT, externalSetMarkChain: chain === '' ? undefined : chain };
}

/** The backend that the configuration names, or the only one that supports what it requests. */
function readBackend(root: Fields, conditions: PortmapConfig['conditions']): Backend | undefined {
  const asked = stringField(root, 'backend');
  if (asked !== '' && asked !== 'iptables' && asked !== 'nftables') {
    throw failure(`unrecognized backend ${JSON.stringify(asked)}`);
  }
  const bound: Record<Backend, string[]> = { iptables: [], nftables: [] };
  if (stringField(root, 'externalSetMarkChain') !== '') bound.iptables.push('externalSetMarkChain');
  for (const family of [4, 6] as const) {
    const language = languageOf(conditions[family]);
    if (language !== undefined) bound[language].push(`conditionsV${family}`);
  }
  const needed = bound.iptables.length > 0 ? 'iptables' : bound.nftables.length > 0 ? 'nftables' : undefined;
  const backend = asked === '' ? needed : asked;
  if (backend === undefined) return undefined;
  const other = backend === 'iptables' ? 'nftables' : 'iptables';
  if (bound[other].length === 0) return backend;
  throw failure(
    `${backend} backend was requested but configuration contains ${other}-specific options [${bound[other].join(' ')}]`,
  );
}

/** The backend whose language the conditions use. Throws for text that would end the rule of which it becomes a part. */
function languageOf(conditions: readonly string[]): Backend | undefined {
  const [first] = conditions;
  if (first === undefined) return undefined;
  for (const word of conditions) {
    if (/[\n\r\0;#]/.test(word)) throw failure(`a condition must not hold ${JSON.stringify(word)}`);
  }
  return first.startsWith('-') || first.startsWith('!') ? 'iptables' : 'nftables';
}

function readMappings(root: Fields): Mapping[] {
  const runtime = objectField(root, 'runtimeConfig');
  return runtime === undefined ? [] : objectsField(runtime, 'portMappings').map(readMapping);
}

function readMapping(entry: Fields): Mapping {
  const containerPort = intField(entry, 'containerPort') ?? 0;
  const hostPort = intField(entry, 'hostPort') ?? 0;
  if (!isPort(containerPort)) throw failure(`Invalid container port number: ${containerPort}`);
  if (!isPort(hostPort)) throw failure(`Invalid host port number: ${hostPort}`);
  const protocol = stringField(entry, 'protocol');
  const lower = protocol.toLowerCase();
  if (lower !== 'tcp' && lower !== 'udp' && lower !== 'sctp') {
    throw failure(`protocol: expected tcp, udp or sctp, got ${JSON.stringify(protocol)}`);
  }
  return { hostPort, containerPort, protocol: lower, hostIp: readHostIp(stringField(entry, 'hostIP')) };
}

function isPort(value: number): boolean {
  return value >= 1 && value <= 65_535;
}

function readHostIp(text: string): Ip | undefined {
  if (text === '') return undefined;
  try {
    return parseIp(text);
  } catch {
    throw failure(`hostIP: expected an address, got ${JSON.stringify(text)}`);
  }
}

/** The mappings of one family; they have a `hostIp` only if it limits them to one address. */
export function mappingsOf(config: PortmapConfig, family: Family): Mapping[] {
  return config.mappings
    .filter(({ hostIp }) => hostIp === undefined || hostIp.family === family)
    .map((mapping) => (mapping.hostIp?.value === 0n ? { ...mapping, hostIp: undefined } : mapping));
}

/** The container's first address of each family, with its subnet, if it is known to be the container's. */
export function containerAddresses(result: Result, ifname: string): IpPrefix[] {
  const found: IpPrefix[] = [];
  for (const { address, interface: index } of result.ips) {
    const owner = index === undefined ? undefined : result.interfaces[index];
    if (owner !== undefined && (owner.name !== ifname || (owner.sandbox ?? '') === '')) continue;
    if (!found.some(({ ip }) => ip.family === address.ip.family)) found.push(address);
  }
  return found;
}
