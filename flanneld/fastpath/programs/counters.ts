// Reads how many packets went which way.

import { type BpfMap, lookupElement } from '../../../lib/bpf/map.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { type Reason, reasons } from './reasons.ts';

/** Packets by reason since the map was made, of all processors together. Throws SysError. */
export function readCounters(sys: Syscalls, counters: BpfMap, processors: number): Map<Reason, number> {
  return new Map(reasons.map((reason, index) => [reason, readCounter(sys, counters, index, processors)]));
}

function readCounter(sys: Syscalls, counters: BpfMap, index: number, processors: number): number {
  const key = new Uint8Array(4);
  new DataView(key.buffer).setUint32(0, index, true);
  const bytes = lookupElement(sys, counters, key, processors);
  if (bytes === undefined) return 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let sum = 0n;
  for (let at = 0; at < bytes.length; at += 8) sum += view.getBigUint64(at, true);
  return Number(sum);
}
