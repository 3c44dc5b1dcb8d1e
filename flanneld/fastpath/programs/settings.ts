// What a node's programs are assembled for. They are assembled anew when one of these changes.

import type { Family, IpPrefix } from '../../../lib/ip.ts';
import { networkOf } from '../../../lib/ip.ts';
import { addressKey } from './layout.ts';

export interface FamilyProgram {
  /** This node's subnet. Peers' subnets have the same length. */
  readonly subnet: IpPrefix;
  /** The tunnel's device. */
  readonly tunnelIfindex: number;
  /** The largest IP packet that tunnel, bridge and pods all take, in bytes. */
  readonly mtu: number;
}

/** The families that have a fast path. */
export type ProgramSettings = ReadonlyMap<Family, FamilyProgram>;

/** The mask of a subnet as the words that a little-endian processor reads. */
export function maskWords(subnet: IpPrefix): number[] {
  return words(
    Uint8Array.from({ length: addressKey(subnet.ip).length }, (_, byte) => {
      const bits = Math.min(8, Math.max(0, subnet.length - 8 * byte));
      return 0xff & (0xff << (8 - bits));
    }),
  );
}

/** The first address of a subnet, in the same form. */
export function subnetWords(subnet: IpPrefix): number[] {
  return words(addressKey(networkOf(subnet).ip));
}

function words(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 4 }, (_, word) => view.getUint32(4 * word, true));
}
