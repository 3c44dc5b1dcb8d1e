// The fast path's map of pods. The agent writes and pins it. The CNI executable removes a pod from it before the pod's device goes: an
// entry that outlives its device loses the packets to its address.

import { type BpfMap, deleteElement, listElements, type MapSpec } from '../bpf/map.ts';
import { openPinned } from '../bpf/pin.ts';
import { OpError } from '../errors.ts';
import type { Family } from '../ip.ts';
import { closeFd } from '../sys/file.ts';
import type { Syscalls } from '../sys/syscalls.ts';

/** Where systemd mounts a bpffs. */
export const PIN_ROOT = '/sys/fs/bpf';
/** The folder of all pins of a node's fast path. */
export const PIN_FOLDER = `${PIN_ROOT}/weft`;
/** More pods than a subnet of length 20 has addresses for. */
const MOST_PODS = 4096;

/** The layout of an element: a pod's address → its veth. */
export const podValue = {
  bytes: 16,
  /** u32: the veth's end on the node. */
  ifindex: 0,
  /** The Ethernet addresses of frames to the pod: the pod's MAC as destination, then the bridge's MAC as source. */
  macs: 4,
  bridgeMac: 10,
} as const;

export const podsMap = (family: Family): MapSpec => ({
  name: `weft_pods${family}`,
  type: 'hash',
  keyBytes: family === 4 ? 4 : 16,
  valueBytes: podValue.bytes,
  maxEntries: MOST_PODS,
});

const podsPin = (family: Family): string => `${PIN_FOLDER}/pods${family}`;

/**
 * Removes the addresses of a device. Does nothing where there is no fast path. If it fails, the agent removes them when it receives the
 * event about the device's removal.
 */
export function forgetFastPathOf(sys: Syscalls, ifindex: number): void {
  try {
    for (const family of [4, 6] as const) forgetIn(sys, family, ifindex);
  } catch (error) {
    if (!(error instanceof OpError)) throw error;
  }
}

function forgetIn(sys: Syscalls, family: Family, ifindex: number): void {
  const fd = openPinned(sys, podsPin(family));
  if (fd === undefined) return;
  try {
    const map: BpfMap = { fd, spec: podsMap(family) };
    for (const { key, value } of listElements(sys, map)) {
      const view = new DataView(value.buffer, value.byteOffset, value.length);
      if (view.getUint32(podValue.ifindex, true) === ifindex) deleteElement(sys, map, key);
    }
  } finally {
    closeFd(sys, fd);
  }
}
