// Maps, the memory that programs share with user space: makes, writes, reads and empties them (bpf(2); Documentation/bpf/maps.rst,
// map_hash.rst, map_array.rst). Keys and values are bytes here; the users of a map know their layout.

import type { Slot } from '../sys/arena.ts';
import { ENOENT, ENOSPC } from '../sys/errno.ts';
import { check } from '../sys/sys-error.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import {
  BPF_MAP_CREATE,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_LOOKUP_BATCH,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_BATCH,
  BPF_MAP_UPDATE_ELEM,
  BPF_OBJ_GET_INFO_BY_FD,
  bpf,
  setName,
  tryBpf,
} from './bpf-call.ts';

const mapTypes = { hash: 1, array: 2, 'percpu-array': 6 } as const;
const BPF_ANY = 0;
/** How many elements a batch call reads or writes at once. */
const BATCH = 512;
/** The used part of struct bpf_map_info. */
const MAP_INFO_BYTES = 80;

export interface MapSpec {
  /** At most 15 letters, digits, dots and underscores; `bpftool map` shows it. */
  readonly name: string;
  readonly type: keyof typeof mapTypes;
  readonly keyBytes: number;
  /** The size of one value. A per-CPU map has one value for each possible processor, each padded to 8 bytes. */
  readonly valueBytes: number;
  readonly maxEntries: number;
}

/** An open map. */
export interface BpfMap {
  readonly fd: number;
  readonly spec: MapSpec;
}

export interface MapEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Makes a map and returns its descriptor. The map lasts as long as a descriptor, program or pin holds it. Throws SysError. */
export function createMap(sys: Syscalls, spec: MapSpec): BpfMap {
  const fd = bpf(sys, BPF_MAP_CREATE, ['create map', spec.name], (attr) => {
    attr.setU32(0, mapTypes[spec.type]);
    attr.setU32(4, spec.keyBytes);
    attr.setU32(8, spec.valueBytes);
    attr.setU32(12, spec.maxEntries);
    setName(sys, attr, 28, spec.name);
  });
  return { fd, spec };
}

/** The id of a map in the kernel, and whether the map has the layout of `spec`. Throws SysError. */
export function mapInfo(sys: Syscalls, map: BpfMap): { readonly id: number; readonly isAsSpecified: boolean } {
  return sys.arena.scope(() => {
    const info = sys.arena.alloc(MAP_INFO_BYTES);
    bpf(sys, BPF_OBJ_GET_INFO_BY_FD, ['look at map', map.spec.name], (attr) => {
      attr.setU32(0, map.fd);
      attr.setU32(4, info.length);
      attr.setU64(8, info.address);
    });
    const { type, keyBytes, valueBytes, maxEntries } = map.spec;
    const wanted = [mapTypes[type], keyBytes, valueBytes, maxEntries];
    return { id: info.u32(4), isAsSpecified: [0, 8, 12, 16].every((at, field) => info.u32(at) === wanted[field]) };
  });
}

/** Adds an element or replaces its value. Throws SysError: E2BIG when the map is full. */
export function updateElement(sys: Syscalls, map: BpfMap, key: Uint8Array, value: Uint8Array): void {
  bpf(sys, BPF_MAP_UPDATE_ELEM, ['update map', map.spec.name], (attr) => {
    attr.setU32(0, map.fd);
    attr.setU64(8, sys.arena.copy(sized(key, map.spec.keyBytes)).address);
    attr.setU64(16, sys.arena.copy(sized(value, map.spec.valueBytes)).address);
    attr.setU64(24, BPF_ANY);
  });
}

/** Removes an element; false when it was not there. Throws SysError. */
export function deleteElement(sys: Syscalls, map: BpfMap, key: Uint8Array): boolean {
  const value = tryBpf(sys, BPF_MAP_DELETE_ELEM, (attr) => {
    attr.setU32(0, map.fd);
    attr.setU64(8, sys.arena.copy(sized(key, map.spec.keyBytes)).address);
  });
  if (value === -ENOENT) return false;
  check(value, 'bpf delete from map', map.spec.name);
  return true;
}

/** The value of a key; undefined when the key is missing. For a per-CPU map the values of all possible processors, one after the other. */
export function lookupElement(sys: Syscalls, map: BpfMap, key: Uint8Array, processors = 1): Uint8Array | undefined {
  return sys.arena.scope(() => {
    const found = sys.arena.alloc(valueBytes(map.spec, processors));
    const value = tryBpf(sys, BPF_MAP_LOOKUP_ELEM, (attr) => {
      attr.setU32(0, map.fd);
      attr.setU64(8, sys.arena.copy(sized(key, map.spec.keyBytes)).address);
      attr.setU64(16, found.address);
    });
    if (value === -ENOENT) return undefined;
    check(value, 'bpf look up in map', map.spec.name);
    return found.bytes().slice();
  });
}

/**
 * Adds or replaces many elements of a hash map, in calls of 512; from Linux 5.6 on. Throws SysError; some elements may have been written
 * then.
 */
export function updateElements(sys: Syscalls, map: BpfMap, entries: readonly MapEntry[]): void {
  const { keyBytes, valueBytes: bytes } = map.spec;
  for (let from = 0; from < entries.length; from += BATCH) {
    const part = entries.slice(from, from + BATCH);
    bpf(sys, BPF_MAP_UPDATE_BATCH, ['update map', map.spec.name], (attr) => {
      const keys = sys.arena.alloc(part.length * keyBytes);
      const values = sys.arena.alloc(part.length * bytes);
      for (const [index, { key, value }] of part.entries()) {
        keys.set(sized(key, keyBytes), index * keyBytes);
        values.set(sized(value, bytes), index * bytes);
      }
      setBatch(attr, map.fd, keys, values, part.length);
    });
  }
}

/**
 * All elements of a hash map, in no particular order; from Linux 5.6 on. An element that changes meanwhile may be missing. Throws SysError.
 */
export function listElements(sys: Syscalls, map: BpfMap): MapEntry[] {
  return sys.arena.scope(() => {
    const entries: MapEntry[] = [];
    // The kernel returns whole buckets of a hash map, or ENOSPC when a bucket does not fit.
    let room = Math.min(BATCH, map.spec.maxEntries);
    const position = sys.arena.alloc(Math.max(map.spec.keyBytes, 4));
    for (let from: Slot | undefined; ; ) {
      const { count, value } = listBatch(sys, map, room, from, position, entries);
      if (value === -ENOENT) return entries;
      if (value === -ENOSPC && room < map.spec.maxEntries) room = Math.min(room * 4, map.spec.maxEntries);
      else check(value, 'bpf list map', map.spec.name);
      if (count > 0) from = position;
    }
  });
}

function listBatch(
  sys: Syscalls,
  map: BpfMap,
  room: number,
  from: Slot | undefined,
  next: Slot,
  entries: MapEntry[],
): { readonly count: number; readonly value: number } {
  const { keyBytes, valueBytes: bytes } = map.spec;
  return sys.arena.scope(() => {
    const keys = sys.arena.buffer(room * keyBytes);
    const values = sys.arena.buffer(room * bytes);
    let count = 0;
    const value = tryBpf(
      sys,
      BPF_MAP_LOOKUP_BATCH,
      (attr) => {
        attr.setU64(0, from?.address ?? 0);
        attr.setU64(8, next.address);
        setBatch(attr, map.fd, keys, values, room);
      },
      (attr, result) => {
        count = result >= 0 || result === -ENOENT ? attr.u32(32) : 0;
      },
    );
    for (let index = 0; index < count; index++) {
      entries.push({
        key: keys.bytes(index * keyBytes, keyBytes).slice(),
        value: values.bytes(index * bytes, bytes).slice(),
      });
    }
    return { count, value };
  });
}

function setBatch(attr: Slot, fd: number, keys: Slot, values: Slot, count: number): void {
  attr.setU64(16, keys.address);
  attr.setU64(24, values.address);
  attr.setU32(32, count);
  attr.setU32(36, fd);
}

function valueBytes(spec: MapSpec, processors: number): number {
  return spec.type === 'percpu-array' ? ((spec.valueBytes + 7) & ~7) * processors : spec.valueBytes;
}

/** The kernel reads as many bytes as the map's specification says, so shorter ones are refused. */
function sized(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length !== length) throw new RangeError(`bpf: ${bytes.length} bytes in place of ${length}`);
  return bytes;
}
