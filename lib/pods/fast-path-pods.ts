// The fast path's map of pods. The agent writes and pins it. The CNI executable removes a pod from it before the pod's device goes: an
// entry that outlives its device loses the packets to its address.

import {
  type BpfMap,
  deleteElement,
  listElements,
  lookupElement,
  type MapEntry,
  type MapSpec,
  updateElement,
} from '../bpf/map.ts';
import { openPinned } from '../bpf/pin.ts';
import { OpError } from '../errors.ts';
import type { Family } from '../ip.ts';
import { closeFd, statPath } from '../sys/file.ts';
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

/**
 * The pods with IPv4 once more, where the program at pods' veths looks first: an element of an array is found without a call, which saves a
 * sixtieth of the time of an exchange on one node. The last 12 bits of an address are its index, so that all pods of a subnet of length 20
 * or more have an element of their own. A pod without one is found in the map of pods. Values are those of that map, then the address.
 */
export const nearMap: MapSpec = {
  name: 'weft_near4',
  type: 'array',
  keyBytes: 4,
  valueBytes: 24,
  maxEntries: 4096,
};
/** Offset of the address in a value of `nearMap`, in network order; 0 where no pod has the element. */
export const NEAR_ADDRESS = podValue.bytes;

const PINS = { 4: 'pods4', 6: 'pods6', near: 'near4' } as const;

/** The index of an address, which is given in network order. */
function nearKey(address: Uint8Array): Uint8Array {
  return Uint8Array.of(address[3] ?? 0, (address[2] ?? 0) & 0x0f, 0, 0);
}

/** The address and the value that its element has; undefined where it has none. Throws SysError. */
export function readNear(
  sys: Syscalls,
  near: BpfMap,
  address: Uint8Array,
): { readonly address: Uint8Array; readonly value: Uint8Array } | undefined {
  const element = lookupElement(sys, near, nearKey(address));
  if (element === undefined) return undefined;
  const found = element.slice(NEAR_ADDRESS, NEAR_ADDRESS + 4);
  return found.every((byte) => byte === 0) ? undefined : { address: found, value: element.slice(0, podValue.bytes) };
}

/** Throws SysError. */
export function putNear(sys: Syscalls, near: BpfMap, address: Uint8Array, value: Uint8Array): void {
  const element = new Uint8Array(nearMap.valueBytes);
  element.set(value);
  // A program may read an element while it is written. It takes none without an address, so the address is written last.
  updateElement(sys, near, nearKey(address), element);
  element.set(address, NEAR_ADDRESS);
  updateElement(sys, near, nearKey(address), element);
}

/** Empties the element of an address, if it is this one's. Throws SysError. */
export function removeNear(sys: Syscalls, near: BpfMap, address: Uint8Array): void {
  const has = readNear(sys, near, address)?.address;
  if (has?.every((byte, at) => byte === address[at]) !== true) return;
  updateElement(sys, near, nearKey(address), new Uint8Array(nearMap.valueBytes));
}

/**
 * Removes the addresses of a device. Does nothing where there is no fast path. If it fails, the agent removes them when it receives the
 * event about the device's removal.
 */
export function forgetFastPathOf(sys: Syscalls, ifindex: number): void {
  try {
    if (statPath(sys, PIN_FOLDER) === undefined) return;
    for (const family of [4, 6] as const) {
      for (const address of addressesOf(sys, family, ifindex)) {
        if (family === 4) withMap(sys, PINS.near, nearMap, (near) => removeNear(sys, near, address));
        withMap(sys, PINS[family], podsMap(family), (pods) => deleteElement(sys, pods, address));
      }
    }
  } catch (error) {
    if (!(error instanceof OpError)) throw error;
  }
}

function addressesOf(sys: Syscalls, family: Family, ifindex: number): Uint8Array[] {
  const elements = withMap(sys, PINS[family], podsMap(family), (pods) => listElements(sys, pods)) ?? [];
  const isOf = ({ value }: MapEntry): boolean =>
    new DataView(value.buffer, value.byteOffset, value.length).getUint32(podValue.ifindex, true) === ifindex;
  return elements.filter(isOf).map(({ key }) => key);
}

/** Opens a pinned map for `use`; undefined where there is none. */
function withMap<T>(sys: Syscalls, pin: string, spec: MapSpec, use: (map: BpfMap) => T): T | undefined {
  const fd = openPinned(sys, `${PIN_FOLDER}/${pin}`);
  if (fd === undefined) return undefined;
  try {
    return use({ fd, spec });
  } finally {
    closeFd(sys, fd);
  }
}
