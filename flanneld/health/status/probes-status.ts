// What `status` says about the probes of peers.

import type { Family } from '../../../lib/ip.ts';

/** `degraded`: small packets pass, and something else is wrong. `unknown`: not probed yet, or only probes are refused. */
export const PEER_STATES = ['reachable', 'degraded', 'unreachable', 'unknown'] as const;
export type ProbedState = (typeof PEER_STATES)[number];

/** One peer in one family. */
export interface ProbePeer {
  readonly peer: string;
  readonly family: Family;
  readonly state: ProbedState;
  /** The share, from 0 to 1, of the last probes (16 at most) that were not answered at once. */
  readonly loss: number;
  /** The last round trip through the tunnel; absent when there was none. */
  readonly rttMs?: number;
  /** The id of the problem; the finding itself is among the report's findings. */
  readonly finding?: string;
  /** How old the result is; absent when there is none. */
  readonly ageSec?: number;
  readonly failingSec?: number;
}

export interface ProbesStatus {
  /** The UDP port at which this node answers probes from other nodes. */
  readonly port: number;
  /** Why probes do not work as they should. */
  readonly problem?: string;
  readonly states: Readonly<Record<ProbedState, number>>;
  /** The age of the oldest result; absent when there is none. */
  readonly oldestSec?: number;
  /** The peers, the worst first; a thousand at most. */
  readonly peers: readonly ProbePeer[];
}
