// The configuration of bridge, checked whole before anything is made (containernetworking/plugins
// plugins/main/bridge, loadNetConf and cmdAdd; error texts are those).

import { errorText } from '../../lib/errors.ts';
import { isJsonObject, type JsonObject } from '../../lib/json.ts';
import { type Mac, parseMac } from '../../lib/mac.ts';
import { parseCniArgs } from '../protocol/args.ts';
import { CniError, failure, UNSUPPORTED_FIELD } from '../protocol/error.ts';
import {
  boolField,
  type Fields,
  hasUnknownKey,
  intField,
  listField,
  objectField,
  stringField,
} from '../protocol/fields.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { type Dns, emptyDns } from '../protocol/result.ts';
import { readDns } from '../protocol/result-parse.ts';

/** The keys this bridge acts on or knows to ignore, lower case. */
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
  /** Bytes; undefined leaves it to the kernel. */
  readonly mtu: number | undefined;
  readonly hairpin: boolean;
  readonly promisc: boolean;
  readonly enableDad: boolean;
  readonly disableContainerInterface: boolean;
  readonly portIsolation: boolean;
  /** Drop frames of the pod with another source MAC. */
  readonly macSpoofCheck: boolean;
  /** '' is pure layer 2. */
  readonly ipamType: string;
  /** Replaces the IPAM's when anything is in it. */
  readonly dns: Dns;
  /** The container end's MAC somebody asked for. */
  readonly mac: Mac | undefined;
}

/** Whether a configuration is wholly understood here: no key of somebody else's bridge. */
export function isKnownConfig(config: JsonObject): boolean {
  return !hasUnknownKey(config, knownKeys);
}

/** The `ipam.type` alone: what DEL, STATUS and GC need. */
export function readIpamType(invocation: Invocation): string {
  const ipam = objectField(invocation.root, 'ipam', 'types.IPAM');
  return ipam === undefined ? '' : stringField(ipam, 'type');
}

/** The bridge's name alone. */
export function readBridgeName(invocation: Invocation): string {
  return stringField(invocation.root, 'bridge') || 'cni0';
}

/** Whether a feature was asked for: what DEL needs. */
export function readFlag(invocation: Invocation, key: 'ipMasq' | 'macspoofchk'): boolean {
  return boolField(invocation.root, key) ?? false;
}

function requestedMac(invocation: Invocation, root: Fields): Mac | undefined {
  const fromArgs = parseCniArgs(invocation.args, ['MAC']).get('MAC') ?? '';
  const args = objectField(root, 'args', 'main.BridgeArgs');
  const cni = args === undefined ? undefined : objectField(args, 'cni', 'main.BridgeArgs');
  const runtime = objectField(root, 'runtimeConfig', 'main.RuntimeConfig');
  // The runtime's own wish wins.
  let text = fromArgs;
  for (const source of [cni, runtime]) if (source !== undefined) text = stringField(source, 'mac') || text;
  if (text === '') return undefined;
  try {
    return parseMac(text);
  } catch {
    throw failure(`failed to make veth pair: address ${text}: invalid MAC address`);
  }
}

function checkVlanId(id: number | undefined, name: string): void {
  if (id !== undefined && (id < 0 || id > 4094)) throw failure(`incorrect trunk ${name} parameter`);
}

function checkTrunk(entry: Fields): void {
  const min = intField(entry, 'minID');
  const max = intField(entry, 'maxID');
  checkVlanId(intField(entry, 'id'), 'id');
  if (min === undefined && max === undefined) return;
  checkVlanId(min, 'minID');
  if (max === undefined) throw failure('minID and maxID should be configured simultaneously, maxID is missing');
  checkVlanId(max, 'maxID');
  if (min === undefined) throw failure('minID and maxID should be configured simultaneously, minID is missing');
  if (min > max) throw failure('minID is greater than maxID in trunk parameter');
}

/** What is checked, and then refused because this version does not make it. */
function refuseUnsupported(root: Fields): void {
  const vlan = intField(root, 'vlan') ?? 0;
  if (vlan < 0 || vlan > 4094) throw failure(`invalid VLAN ID ${vlan} (must be between 0 and 4094)`);
  const trunk = listField(root, 'vlanTrunk', '[]*main.VlanTrunk');
  for (const entry of trunk) {
    if (!isJsonObject(entry))
      throw failure('json: cannot unmarshal vlanTrunk entry into Go value of type main.VlanTrunk');
    checkTrunk({ struct: 'VlanTrunk', path: '', object: entry });
  }
  const wanted = vlan !== 0 ? 'vlan' : trunk.length > 0 ? 'vlanTrunk' : '';
  if (wanted !== '') {
    const remedy = 'remove the key, or install the reference bridge plugin in CNI_PATH and set "execDelegates": true';
    throw new CniError(UNSUPPORTED_FIELD, `bridge: ${wanted} is not supported by this plugin`, remedy);
  }
}

/** Whether the configuration asks for what only the reference plugin makes. */
export function needsReferenceBridge(root: Fields): boolean {
  try {
    refuseUnsupported(root);
    return false;
  } catch (thrown) {
    return thrown instanceof CniError && thrown.code === UNSUPPORTED_FIELD;
  }
}

function masqBackend(root: Fields): BridgeConfig['ipMasqBackend'] {
  const text = stringField(root, 'ipMasqBackend');
  if (text === '') return undefined;
  if (text === 'iptables' || text === 'nftables') return text;
  throw failure(`unknown ipmasq backend ${JSON.stringify(text)}`);
}

function readConfig(invocation: Invocation, root: Fields): BridgeConfig {
  const flag = (key: string): boolean => boolField(root, key) ?? false;
  const dns = objectField(root, 'dns', 'types.DNS');
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
    ipamType: readIpamType(invocation),
    dns: dns === undefined ? emptyDns() : readDns(dns),
    mac: requestedMac(invocation, root),
  };
}

/** Reads and checks everything. Throws CniError with the Go plugin's words. */
export function parseBridgeConfig(invocation: Invocation): BridgeConfig {
  const { root } = invocation;
  let config: BridgeConfig;
  try {
    config = readConfig(invocation, root);
  } catch (thrown) {
    const text = errorText(thrown);
    throw failure(text.startsWith('json: ') ? `failed to load netconf: ${text}` : text);
  }
  refuseUnsupported(root);
  if (config.hairpin && config.promisc) throw failure('cannot set hairpin mode and promiscuous mode at the same time');
  if (config.disableContainerInterface && config.ipamType !== '') {
    throw failure('cannot use IPAM when DisableContainerInterface flag is set');
  }
  return config;
}
