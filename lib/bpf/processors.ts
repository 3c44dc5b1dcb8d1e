// The number of values in an element of a per-CPU map: one for each processor that the kernel may ever have (cputopology.rst).

import { readText } from '../sys/file.ts';
import type { Syscalls } from '../sys/syscalls.ts';

const POSSIBLE = '/sys/devices/system/cpu/possible';
const MAX_BYTES = 4096;

/** Throws SysError, and RangeError when the kernel's text is not such a list. */
export function possibleProcessors(sys: Syscalls): number {
  const text = readText(sys, POSSIBLE, MAX_BYTES).trim();
  const last = /(\d+)$/.exec(text)?.[1];
  if (last === undefined) throw new RangeError(`bpf: ${POSSIBLE}: ${JSON.stringify(text)}`);
  return Number(last) + 1;
}
