// What is constant for a node's programs, in a map: so the programs are the same on all nodes, and may be loaded by somebody who has more
// rights than the agent and knows nothing of the node. They are read from memory, without a look-up.

import { type BpfMap, lookupElement, type MapSpec, updateElement } from '../../../lib/bpf/map.ts';
import type { Family, IpPrefix } from '../../../lib/ip.ts';
import { networkOf } from '../../../lib/ip.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { addressKey } from './layout.ts';

export interface FamilySettings {
  /** This node's subnet. Peers' subnets have the same length. */
  readonly subnet: IpPrefix;
  /** The tunnel's device. */
  readonly tunnelIfindex: number;
  /** The largest IP packet that tunnel, bridge and pods all take, in bytes. */
  readonly mtu: number;
}

/** The families that have a fast path. */
export type ProgramSettings = ReadonlyMap<Family, FamilySettings>;

/** Where the settings of a family are from its start on: addresses in network order, of IPv4 their first 4 bytes; u32 each of the rest. */
export const setting = {
  subnet: 0,
  mask: 16,
  tunnelIfindex: 32,
  /** 0 for a family that has no fast path. */
  mtu: 36,
} as const;

const KEY = new Uint8Array(4);
const FAMILY_BYTES = 40;
const startOf: Record<Family, number> = { 4: 0, 6: FAMILY_BYTES };

export const settingsMap: MapSpec = {
  name: 'weft_settings',
  type: 'array',
  keyBytes: 4,
  valueBytes: 2 * FAMILY_BYTES,
  maxEntries: 1,
};

export function settingAt(family: Family, at: number): number {
  return startOf[family] + at;
}

function encodeSettings(settings: ProgramSettings): Uint8Array {
  const bytes = new Uint8Array(settingsMap.valueBytes);
  const view = new DataView(bytes.buffer);
  for (const [family, { subnet, tunnelIfindex, mtu }] of settings) {
    bytes.set(addressKey(networkOf(subnet).ip), settingAt(family, setting.subnet));
    bytes.set(maskOf(subnet), settingAt(family, setting.mask));
    view.setUint32(settingAt(family, setting.tunnelIfindex), tunnelIfindex, true);
    view.setUint32(settingAt(family, setting.mtu), mtu, true);
  }
  return bytes;
}

/** Throws SysError. */
export function hasSettings(sys: Syscalls, map: BpfMap, settings: ProgramSettings): boolean {
  const bytes = encodeSettings(settings);
  return lookupElement(sys, map, KEY)?.every((byte, at) => byte === bytes[at]) === true;
}

/** Programs that run meanwhile may see some of the old ones and some of the new ones. Throws SysError. */
export function writeSettings(sys: Syscalls, map: BpfMap, settings: ProgramSettings): void {
  updateElement(sys, map, KEY, encodeSettings(settings));
}

function maskOf({ ip, length }: IpPrefix): Uint8Array {
  return Uint8Array.from({ length: addressKey(ip).length }, (_, byte) => {
    const bits = Math.min(8, Math.max(0, length - 8 * byte));
    return 0xff & (0xff << (8 - bits));
  });
}
