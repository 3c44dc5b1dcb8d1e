// The time until which programs may redirect. The agent moves it ahead again and again. When the agent stops doing so, because it is dead,
// stopped, stuck or in doubt, the programs leave every packet to the kernel.

import { type BpfMap, updateElement } from '../../../lib/bpf/map.ts';
import { monotonicMs } from '../../../lib/sys/clock.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { stateValue } from './layout.ts';

const KEY = new Uint8Array(4);

/** How long programs go on redirecting without the agent. */
export const HEARTBEAT_MS = 10_000;

/** Lets programs redirect for `milliseconds` from now on; 0 stops them at once. Throws SysError. */
export function allowFor(sys: Syscalls, state: BpfMap, milliseconds: number): void {
  const value = new Uint8Array(stateValue.bytes);
  if (milliseconds > 0) {
    const until = BigInt(Math.round(monotonicMs(sys) + milliseconds)) * 1_000_000n;
    new DataView(value.buffer).setBigUint64(stateValue.until, until, true);
  }
  updateElement(sys, state, KEY, value);
}
