// Reads one lease as a VXLAN peer of one address family: the fields that every backend has, VNI and VtepMAC.

import { type Ip, type IpPrefix, samePrefix } from '../../../lib/ip.ts';
import { field, isJsonObject, type JsonValue } from '../../../lib/json.ts';
import { showJson } from '../../../lib/json-fields.ts';
import { isUnicastMac, type Mac, parseMac } from '../../../lib/mac.ts';
import type { Lease } from '../../subnet/manager.ts';
import { checkPublicIp, checkSubnet, familyOf, type NodeConfig, PeerError } from '../lease-fields.ts';

/** This node's settings for every backend, and what a VXLAN overlay adds. */
export interface OverlayConfig extends NodeConfig {
  readonly vni: number;
  /** MAC of this node's VXLAN device. */
  readonly mac: Mac;
}

/** Another node as its lease describes it; every address is of the overlay's family. */
export interface Peer {
  readonly key: string;
  readonly subnet: IpPrefix;
  readonly publicIp: Ip;
  readonly mac: Mac;
}

/**
 * The lease as a peer; undefined when it is this node's own, or has nothing of this family.
 * Throws PeerError with the reason when it must not be programmed.
 */
export function readPeer(key: string, lease: Lease, config: OverlayConfig): Peer | undefined {
  const { subnet, publicIp, backendData } = familyOf(lease, config.family);
  if (subnet === undefined) return undefined;
  if (isOwn(subnet, publicIp, backendData, config)) return undefined;
  if (lease.backendType !== 'vxlan') throw new PeerError(`backend type is ${showJson(lease.backendType)}, not vxlan`);
  checkSubnet(subnet, config);
  const { vni, mac } = readBackendData(backendData);
  if (vni !== undefined && vni !== config.vni) throw new PeerError(`VNI is ${vni}, ours is ${config.vni}`);
  if (!isUnicastMac(mac)) throw new PeerError(`VtepMAC ${mac} is no unicast MAC`);
  if (mac === config.mac) throw new PeerError(`VtepMAC ${mac} is this node's own`);
  return { key, subnet, publicIp: checkPublicIp(publicIp, config), mac };
}

/** Our own lease: our subnet with our address or our MAC (an administrator may have overwritten the address). */
function isOwn(
  subnet: IpPrefix,
  publicIp: Ip | undefined,
  data: JsonValue | undefined,
  config: OverlayConfig,
): boolean {
  if (!samePrefix(subnet, config.subnet)) return false;
  if (publicIp?.family === config.publicIp.family && publicIp.value === config.publicIp.value) return true;
  try {
    return readBackendData(data).mac === config.mac;
  } catch {
    return false; // unreadable data is not ours; the overlap with our subnet is reported
  }
}

/**
 * Reads `{"VNI":1,"VtepMAC":"…"}`; the VNI is absent in data written by flannel before 0.9.
 * Throws PeerError for anything else.
 */
export function readBackendData(data: JsonValue | undefined): { vni: number | undefined; mac: Mac } {
  if (data === undefined || data === null) throw new PeerError('has no backend data (VtepMAC)');
  if (!isJsonObject(data)) throw new PeerError(`backend data is ${showJson(data)}, not an object`);
  const vni = field(data, 'VNI');
  if (vni !== undefined && !isVni(vni)) throw new PeerError(`VNI is ${showJson(vni)}, expected integer 1–16777215`);
  const text = field(data, 'VtepMAC');
  if (text === undefined) throw new PeerError('has no VtepMAC');
  if (typeof text !== 'string') throw new PeerError(`VtepMAC is ${showJson(text)}, expected a MAC`);
  try {
    return { vni, mac: parseMac(text) };
  } catch {
    throw new PeerError(`VtepMAC is ${showJson(text)}, expected a MAC`);
  }
}

function isVni(value: JsonValue): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 0xffffff;
}
