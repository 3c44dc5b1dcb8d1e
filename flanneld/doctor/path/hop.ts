// One step of a path, and the functions that make one.

import { NUD_FAILED, NUD_INCOMPLETE } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Draft } from '../draft.ts';

export type HopName =
  | 'pod'
  | 'bridge'
  | 'forwarding'
  | 'service'
  | 'route'
  | 'rules'
  | 'connection'
  | 'device'
  | 'nexthop'
  | 'neighbour'
  | 'fdb'
  | 'underlay'
  | 'firewall'
  | 'mtu'
  | 'fast path'
  | 'answer';

export interface Hop {
  readonly name: HopName;
  /** `stop`: no packet passes; `limit`: some do not, such as large ones. */
  readonly result: 'ok' | 'limit' | 'stop' | 'unknown';
  /** The kernel's answer, with the command that asks the same if there is one. */
  readonly answer: string;
  /** What is wrong; absent where all is well or nothing is known. */
  readonly draft?: Draft;
}

export function ok(name: HopName, answer: string): Hop {
  return { name, result: 'ok', answer };
}

export function unknown(name: HopName, answer: string): Hop {
  return { name, result: 'unknown', answer };
}

export function stop(name: HopName, draft: Draft): Hop {
  return { name, result: 'stop', answer: draft.evidence, draft };
}

export function limit(name: HopName, draft: Draft): Hop {
  return { name, result: 'limit', answer: draft.evidence, draft };
}

/** Whether the kernel has stopped asking for a neighbour. */
export function isSilent(state: number | undefined): boolean {
  return ((state ?? 0) & (NUD_FAILED | NUD_INCOMPLETE)) !== 0;
}
