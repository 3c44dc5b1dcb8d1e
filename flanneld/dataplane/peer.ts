// Reads one lease as a VXLAN peer of one address family. Every field is checked before use, because anybody who may write
// Nodes, lease files or etcd values may have written it.

import {
  contains,
  containsPrefix,
  type Family,
  formatIp,
  formatPrefix,
  type Ip,
  type IpPrefix,
  isLoopback,
  isMulticast,
  isUnspecified,
  networkOf,
  overlaps,
  samePrefix,
} from '../../lib/ip.ts';
import { field, isJsonObject, type JsonValue } from '../../lib/json.ts';
import { showJson } from '../../lib/json-fields.ts';
import { isUnicastMac, type Mac, parseMac } from '../../lib/mac.ts';
import type { Lease } from '../subnet/manager.ts';

/** This node's own settings in one family, for every backend. */
export interface NodeConfig {
  readonly family: Family;
  readonly network: IpPrefix;
  /** This node's own subnet. */
  readonly subnet: IpPrefix;
  /** The address this node advertises. */
  readonly publicIp: Ip;
}

/** The same with what a VXLAN overlay adds. */
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

/** A lease that cannot be a peer, and why. */
export class PeerError extends Error {
  override readonly name = 'PeerError';
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

/** The part of the lease for one family. */
export function familyOf(
  lease: Lease,
  family: Family,
): { subnet: IpPrefix | undefined; publicIp: Ip | undefined; backendData: JsonValue | undefined } {
  return family === 4
    ? { subnet: lease.subnet, publicIp: lease.publicIp, backendData: lease.backendData }
    : { subnet: lease.ipv6Subnet, publicIp: lease.publicIpv6, backendData: lease.backendV6Data };
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

/** Throws PeerError for a subnet that must not be routed. */
export function checkSubnet(subnet: IpPrefix, config: NodeConfig): void {
  const { network, family, subnet: own } = config;
  if (subnet.ip.family !== family) throw subnetError(subnet, `is not IPv${family}`);
  if (!samePrefix(networkOf(subnet), subnet)) throw subnetError(subnet, 'has host bits set');
  if (overlaps(subnet, own)) throw subnetError(subnet, `overlaps this node's ${formatPrefix(own)}`);
  if (!containsPrefix(network, subnet)) throw subnetError(subnet, `is outside the network ${formatPrefix(network)}`);
}

function subnetError(subnet: IpPrefix, problem: string): PeerError {
  return new PeerError(`subnet ${formatPrefix(subnet)} ${problem}`);
}

/** Throws PeerError for an address nothing must be sent to. */
export function checkPublicIp(publicIp: Ip | undefined, config: NodeConfig): Ip {
  if (publicIp === undefined) throw new PeerError('has no public IP');
  if (publicIp.family !== config.family) throw addressError(publicIp, `is not IPv${config.family}`);
  if (isUnspecified(publicIp) || isLoopback(publicIp) || isMulticast(publicIp) || isBroadcast(publicIp)) {
    throw addressError(publicIp, 'is no unicast address');
  }
  if (publicIp.value === config.publicIp.value) throw addressError(publicIp, "is this node's own");
  // A tunnel whose outer address is routed into the tunnel loops in the kernel.
  if (contains(config.network, publicIp)) {
    throw addressError(publicIp, `lies inside the network ${formatPrefix(config.network)}`);
  }
  return publicIp;
}

function addressError(publicIp: Ip, problem: string): PeerError {
  return new PeerError(`public IP ${formatIp(publicIp)} ${problem}`);
}

function isBroadcast(ip: Ip): boolean {
  return ip.family === 4 && ip.value === 0xffffffffn;
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
