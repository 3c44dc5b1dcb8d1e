// Asks the server of a store from time to time whether it still answers. The watch alone does not show that. When packets are dropped, TCP
// keepalive ends the watch within 13 s. But a server that hangs, or a load balancer whose server is gone, keeps the connection open and
// sends nothing, which looks the same as a cluster in which nothing changes.

import { type BackoffPolicy, backoffMs } from '../../lib/backoff.ts';
import { sleepUnlessAborted } from './bell.ts';

/** With the time limit of a request, this names a silent server within half a minute. */
const SOONEST_MS = 12_000;
const LATEST_MS = 60_000;
/** In a large cluster each node asks less often, so that all nodes together ask at most 50 times a second up to 3000 nodes. */
const MS_PER_NODE = 20;

/** How long a node waits between two questions in a cluster of `nodes` nodes. */
export function heartbeatMs(nodes: number): number {
  return Math.min(LATEST_MS, Math.max(SOONEST_MS, nodes * MS_PER_NODE));
}

export interface Heartbeat {
  /** One question. Rejects when there is no answer. */
  ask(): Promise<void>;
  onAnswer(): void;
  onFailure(error: unknown): void;
  /** The time between two questions while there are answers. */
  everyMs(): number;
  readonly retry: BackoffPolicy;
  /** 0 ≤ r < 1. */
  readonly random: () => number;
}

/** Asks again and again until `signal` aborts. After a failure it asks sooner, with growing pauses. */
export async function keepAsking(
  { ask, onAnswer, onFailure, everyMs, retry, random }: Heartbeat,
  signal: AbortSignal,
): Promise<void> {
  for (let failures = 0; ; ) {
    const usualMs = everyMs();
    await sleepUnlessAborted(
      Math.min(usualMs, failures === 0 ? usualMs : backoffMs(retry, failures, random())),
      signal,
    );
    if (signal.aborted) return;
    try {
      await ask();
      failures = 0;
      onAnswer();
    } catch (error) {
      if (signal.aborted) return;
      failures++;
      onFailure(error);
    }
  }
}
