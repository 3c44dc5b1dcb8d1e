// What stores with a server have in common: they watch again whenever a watch ends, and run several tasks together until one of them fails.

import { type BackoffPolicy, backoffMs } from '../../lib/backoff.ts';
import { steadyMs } from '../../lib/clock-node.ts';
import { sleepUnlessAborted } from './bell.ts';
import { linkedTo } from './linked.ts';

export interface Watched {
  /** One watch from its opening to its end. */
  watch(): Promise<void>;
  /** Called with the error when a watch fails. */
  onFailure(error: unknown): void;
  readonly retry: BackoffPolicy;
  /** 0 ≤ r < 1. */
  readonly random: () => number;
}

/** A watch that ends sooner counts as a failure and is followed by a pause, so that there is no busy loop. */
const SHORT_WATCH_MS = 1000;

/** Watches again and again until `signal` aborts: at once after a watch that lasted, else after growing pauses. */
export async function watchAgain({ watch, onFailure, retry, random }: Watched, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; !signal.aborted; ) {
    const startedAt = steadyMs();
    const isShort = (): boolean => steadyMs() - startedAt < SHORT_WATCH_MS;
    try {
      await watch();
      attempt = isShort() ? attempt + 1 : 0;
    } catch (error) {
      if (signal.aborted) return;
      attempt = isShort() ? attempt + 1 : 1;
      onFailure(error);
    }
    if (attempt > 0) await sleepUnlessAborted(backoffMs(retry, attempt, random()), signal);
  }
}

/** Runs all parts until one rejects or `signal` aborts. Settles when all have ended; rejects with the first error. */
export async function runTogether(
  parts: readonly ((signal: AbortSignal) => Promise<void>)[],
  signal: AbortSignal,
): Promise<void> {
  const ending = linkedTo(signal);
  const running = parts.map((part) => part(ending.signal));
  try {
    await Promise.all(running);
  } finally {
    ending.abort();
    await Promise.allSettled(running);
    ending.unlink();
  }
}
