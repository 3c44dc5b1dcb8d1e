// What is constant for a node's programs, in a map. So the programs are the same on all nodes, and a process that has more rights than the
// agent can load them without knowing the node. Programs read the settings from memory, without a look-up.

import { type BpfMap, lookupElement, type MapSpec, updateElement } from '../../../lib/bpf/map.ts';
import type { Family, Ip, IpPrefix } from '../../../lib/ip.ts';
import { networkOf } from '../../../lib/ip.ts';
import { type Mac, macToBytes } from '../../../lib/mac.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { addressKey } from './layout.ts';

export interface FamilySettings {
  /** This node's subnet. Peers' subnets have the same length. */
  readonly subnet: IpPrefix;
  /** The tunnel's device. */
  readonly tunnelIfindex: number;
  /** The largest IP packet that tunnel, bridge and pods all take, in bytes. */
  readonly mtu: number;
  /** What the programs need to encapsulate and decapsulate themselves; for IPv4 only. */
  readonly outer?: OuterSettings;
}

/** The tunnel's packets as they are in the underlay. */
export interface OuterSettings {
  readonly underlayIfindex: number;
  /** The IPv4 address that the tunnel sends from. */
  readonly local: Ip;
  readonly ownMac: Mac;
  readonly vni: number;
  readonly port: number;
  readonly ttl: number;
  /** Source ports begin at `first`; there are `count` of them. */
  readonly sourcePorts: { readonly first: number; readonly count: number };
  /** How long programs keep the kernel's answer about the way to a peer, in nanoseconds; 0 where the way depends on the flow. */
  readonly keepWayNs: number;
}

/** The families that have a fast path. */
export type ProgramSettings = ReadonlyMap<Family, FamilySettings>;

/**
 * Offsets of a family's settings from their start: addresses in network order (an IPv4 address takes the first 4 bytes); the others u32
 * each.
 */
export const setting = {
  subnet: 0,
  mask: 16,
  tunnelIfindex: 32,
  /** 0 for a family that has no fast path. */
  mtu: 36,
} as const;

/**
 * Offsets of the outer packets' settings, behind those of the families. Numbers are in network order, except those from the index of the
 * interface on.
 */
export const outerSetting = {
  local: 80,
  /** The VXLAN header's second half: 24 bits of VNI and 8 zeros. */
  vni: 84,
  /** 0 where programs neither encapsulate nor decapsulate. */
  port: 88,
  ownMac: 90,
  underlayIfindex: 96,
  ttl: 100,
  firstPort: 104,
  portCount: 108,
  keepWayNs: 112,
} as const;
const ALL_BYTES = 120;

const KEY = new Uint8Array(4);
const FAMILY_BYTES = 40;
const startOf: Record<Family, number> = { 4: 0, 6: FAMILY_BYTES };

export const settingsMap: MapSpec = {
  name: 'weft_settings',
  type: 'array',
  keyBytes: 4,
  valueBytes: ALL_BYTES,
  maxEntries: 1,
};

export function settingAt(family: Family, at: number): number {
  return startOf[family] + at;
}

function encodeSettings(settings: ProgramSettings): Uint8Array {
  const bytes = new Uint8Array(settingsMap.valueBytes);
  const view = new DataView(bytes.buffer);
  for (const [family, { subnet, tunnelIfindex, mtu, outer }] of settings) {
    bytes.set(addressKey(networkOf(subnet).ip), settingAt(family, setting.subnet));
    bytes.set(maskOf(subnet), settingAt(family, setting.mask));
    view.setUint32(settingAt(family, setting.tunnelIfindex), tunnelIfindex, true);
    view.setUint32(settingAt(family, setting.mtu), mtu, true);
    if (outer !== undefined) encodeOuter(bytes, view, outer);
  }
  return bytes;
}

function encodeOuter(bytes: Uint8Array, view: DataView, outer: OuterSettings): void {
  bytes.set(addressKey(outer.local), outerSetting.local);
  bytes.set(macToBytes(outer.ownMac), outerSetting.ownMac);
  view.setUint32(outerSetting.vni, outer.vni * 256);
  view.setUint16(outerSetting.port, outer.port);
  view.setUint32(outerSetting.underlayIfindex, outer.underlayIfindex, true);
  view.setUint32(outerSetting.ttl, outer.ttl, true);
  view.setUint32(outerSetting.firstPort, outer.sourcePorts.first, true);
  view.setUint32(outerSetting.portCount, outer.sourcePorts.count, true);
  view.setUint32(outerSetting.keepWayNs, outer.keepWayNs, true);
}

/** Throws SysError. */
export function hasSettings(sys: Syscalls, map: BpfMap, settings: ProgramSettings): boolean {
  const bytes = encodeSettings(settings);
  return lookupElement(sys, map, KEY)?.every((byte, at) => byte === bytes[at]) === true;
}

/** A program that runs meanwhile may read some old and some new settings. Throws SysError. */
export function writeSettings(sys: Syscalls, map: BpfMap, settings: ProgramSettings): void {
  updateElement(sys, map, KEY, encodeSettings(settings));
}

function maskOf({ ip, length }: IpPrefix): Uint8Array {
  return Uint8Array.from({ length: addressKey(ip).length }, (_, byte) => {
    const bits = Math.min(8, Math.max(0, length - 8 * byte));
    return 0xff & (0xff << (8 - bits));
  });
}
