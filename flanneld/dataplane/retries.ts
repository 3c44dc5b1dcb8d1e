// What failed and when it may be tried again, each under its own key: one peer's trouble never touches another's.

import { type BackoffPolicy, backoffMs } from '../../lib/backoff.ts';
import type { PeerProblem } from '../health/peer-problem.ts';

interface Trouble {
  readonly reason: string;
  readonly attempts: number;
  readonly dueMs: number;
}

/** Jitter: a node that comes back should not be tried by everybody in step. */
const RETRY: BackoffPolicy = { firstMs: 100, capMs: 30_000, jitter: 0.3 };

export class Retries {
  readonly #troubles = new Map<string, Trouble>();
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  isDue(key: string, nowMs: number): boolean {
    return (this.#troubles.get(key)?.dueMs ?? 0) <= nowMs;
  }

  isFailing(key: string): boolean {
    return this.#troubles.has(key);
  }

  /** Notes a failure; the next try is due after about 0.1 s, then twice as long each time, up to 30 s. How many by now. */
  failed(key: string, reason: string, nowMs: number): number {
    const attempts = (this.#troubles.get(key)?.attempts ?? 0) + 1;
    this.#troubles.set(key, { reason, attempts, dueMs: nowMs + backoffMs(RETRY, attempts, this.#random()) });
    return attempts;
  }

  succeeded(key: string): void {
    this.#troubles.delete(key);
  }

  /** Forgets every key for which `isKnown` is false. */
  retain(isKnown: (key: string) => boolean): void {
    for (const key of this.#troubles.keys()) if (!isKnown(key)) this.#troubles.delete(key);
  }

  /** Milliseconds to the next retry, undefined when nothing fails. */
  nextDueMs(nowMs: number): number | undefined {
    let due: number | undefined;
    for (const { dueMs } of this.#troubles.values()) due = Math.min(due ?? dueMs, dueMs);
    return due === undefined ? undefined : Math.max(0, due - nowMs);
  }

  problems(): PeerProblem[] {
    return [...this.#troubles].map(([key, { reason, attempts }]) => ({
      key,
      reason: attempts === 1 ? reason : `${reason} (tried ${attempts} times)`,
    }));
  }
}
