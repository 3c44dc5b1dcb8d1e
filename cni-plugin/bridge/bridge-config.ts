// The configuration of bridge, which is checked completely before anything is made (containernetworking/plugins plugins/main/bridge,
// loadNetConf and cmdAdd; the error texts are theirs).

import { errorText } from '../../lib/errors.ts';
import type { JsonObject } from '../../lib/json.ts';
import { type Mac, parseMac } from '../../lib/mac.ts';
import { parseCniArgs } from '../protocol/args.ts';
import { failure } from '../protocol/error.ts';
import {
  boolField,
  type Fields,
  hasUnknownKey,
  intField,
  objectField,
  objectsField,
  stringField,
} from '../protocol/fields.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { type Dns, emptyDns } from '../protocol/result.ts';
import { readDns } from '../protocol/result-parse.ts';

/** The keys that this bridge uses or deliberately ignores, in lower case. */
const knownKeys = [
  'name',
  'type',
  'cniversion',
  'ipam',
  'dns',
  'args',
  'capabilities',
  'runtimeconfig',
  'prevresult',
  'execdelegates',
  'bridge',
  'isgateway',
  'isdefaultgateway',
  'forceaddress',
  'ipmasq',
  'ipmasqbackend',
  'mtu',
  'hairpinmode',
  'promiscmode',
  'vlan',
  'vlantrunk',
  'preservedefaultvlan',
  'macspoofchk',
  'enabledad',
  'disablecontainerinterface',
  'portisolation',
] as const;

export interface BridgeConfig {
  readonly bridge: string;
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  /** Replace another address of the bridge instead of failing. */
  readonly forceAddress: boolean;
  readonly ipMasq: boolean;
  readonly ipMasqBackend: 'nftables' | 'iptables' | undefined;
  /** In bytes; undefined lets the kernel choose. */
  readonly mtu: number | undefined;
  readonly hairpin: boolean;
  readonly promisc: boolean;
  readonly enableDad: boolean;
  readonly disableContainerInterface: boolean;
  readonly portIsolation: boolean;
  /** Whether frames of the pod with another source MAC are dropped. */
  readonly macSpoofCheck: boolean;
  /** The port's own, untagged VLAN; 0 for none. */
  readonly vlan: number;
  /** VLANs that the port carries tagged, in ascending order. */
  readonly trunk: readonly number[];
  /** Whether the port stays in the VLAN that the bridge put it into. */
  readonly preserveDefaultVlan: boolean;
  /** '' means pure layer 2, without addresses. */
  readonly ipamType: string;
  /** Replaces the DNS settings of the IPAM plugin when it is not empty. */
  readonly dns: Dns;
  /** The requested MAC for the container's end. */
  readonly mac: Mac | undefined;
}

/** Whether this bridge knows every key of the configuration, so that no other bridge plugin is needed. */
export function isKnownConfig(config: JsonObject): boolean {
  return !hasUnknownKey(config, knownKeys);
}

/** Returns only `ipam.type`, which is all that DEL, STATUS and GC need. */
export function readIpamType(invocation: Invocation): string {
  const ipam = objectField(invocation.root, 'ipam');
  return ipam === undefined ? '' : stringField(ipam, 'type');
}

/** Returns only the name of the bridge. */
export function readBridgeName(invocation: Invocation): string {
  return stringField(invocation.root, 'bridge') || 'cni0';
}

/** Whether a feature was requested. DEL needs this. */
export function readFlag(invocation: Invocation, key: 'ipMasq' | 'macspoofchk'): boolean {
  return boolField(invocation.root, key) ?? false;
}

function requestedMac(invocation: Invocation, root: Fields): Mac | undefined {
  const fromArgs = parseCniArgs(invocation.args, ['MAC']).get('MAC') ?? '';
  const args = objectField(root, 'args');
  const cni = args === undefined ? undefined : objectField(args, 'cni');
  const runtime = objectField(root, 'runtimeConfig');
  // A value from the runtime wins.
  let text = fromArgs;
  for (const source of [cni, runtime]) if (source !== undefined) text = stringField(source, 'mac') || text;
  if (text === '') return undefined;
  try {
    return parseMac(text);
  } catch {
    throw failure(`failed to make veth pair: address ${text}: invalid MAC address`);
  }
}

const LAST_VLAN = 4094;

function vlanId(fields: Fields, key: string): number | undefined {
  const id = intField(fields, key);
  if (id !== undefined && (id < 0 || id > LAST_VLAN)) throw failure(`incorrect trunk ${key} parameter`);
  return id;
}

/** The VLANs of one entry, `{id}` or `{minID, maxID}`. */
function trunkEntry(entry: Fields): number[] {
  const min = vlanId(entry, 'minID');
  const max = vlanId(entry, 'maxID');
  const id = vlanId(entry, 'id');
  const ids = id === undefined ? [] : [id];
  if (min === undefined && max === undefined) return ids;
  const both = 'minID and maxID should be configured simultaneously';
  if (max === undefined) throw failure(`${both}, maxID is missing`);
  if (min === undefined) throw failure(`${both}, minID is missing`);
  if (min > max) throw failure('minID is greater than maxID in trunk parameter');
  for (let each = min; each <= max; each++) ids.push(each);
  return ids;
}

function readTrunk(root: Fields): number[] {
  const ids = new Set<number>();
  for (const entry of objectsField(root, 'vlanTrunk')) {
    for (const id of trunkEntry(entry)) ids.add(id);
  }
  return [...ids].sort((a, b) => a - b);
}

function readVlan(root: Fields): number {
  const vlan = intField(root, 'vlan') ?? 0;
  if (vlan >= 0 && vlan <= LAST_VLAN) return vlan;
  throw failure(`invalid VLAN ID ${vlan} (must be between 0 and 4094)`);
}

function masqBackend(root: Fields): BridgeConfig['ipMasqBackend'] {
  const text = stringField(root, 'ipMasqBackend');
  if (text === '') return undefined;
  if (text === 'iptables' || text === 'nftables') return text;
  throw failure(`unknown ipmasq backend ${JSON.stringify(text)}`);
}

function readConfig(invocation: Invocation, root: Fields): BridgeConfig {
  const flag = (key: string): boolean => boolField(root, key) ?? false;
  const dns = objectField(root, 'dns');
  const mtu = intField(root, 'mtu') ?? 0;
  const isDefaultGateway = flag('isDefaultGateway');
  return {
    bridge: readBridgeName(invocation),
    isGateway: flag('isGateway') || isDefaultGateway,
    isDefaultGateway,
    forceAddress: flag('forceAddress'),
    ipMasq: flag('ipMasq'),
    ipMasqBackend: masqBackend(root),
    mtu: mtu > 0 ? mtu : undefined,
    hairpin: flag('hairpinMode'),
    promisc: flag('promiscMode'),
    enableDad: flag('enabledad'),
    disableContainerInterface: flag('disableContainerInterface'),
    portIsolation: flag('portIsolation'),
    macSpoofCheck: flag('macspoofchk'),
    vlan: readVlan(root),
    trunk: readTrunk(root),
    preserveDefaultVlan: flag('preserveDefaultVlan'),
    ipamType: readIpamType(invocation),
    dns: dns === undefined ? emptyDns() : readDns(dns),
    mac: requestedMac(invocation, root),
  };
}

/** Reads and checks everything. Throws CniError with the Go plugin's texts. */
export function parseBridgeConfig(invocation: Invocation): BridgeConfig {
  const { root } = invocation;
  let config: BridgeConfig;
  try {
    config = readConfig(invocation, root);
  } catch (thrown) {
    const text = errorText(thrown);
    throw failure(text.startsWith('json: ') ? `failed to load netconf: ${text}` : text);
  }
  if (config.hairpin && config.promisc) throw failure('cannot set hairpin mode and promiscuous mode at the same time');
  if (config.disableContainerInterface && config.ipamType !== '') {
    throw failure('cannot use IPAM when DisableContainerInterface flag is set');
  }
  return config;
}
