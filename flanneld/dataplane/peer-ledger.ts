// What is known about each key (a lease, or the name of a leftover): as what it was programmed last, and if it fails,
// why and until when it is left alone. One key's trouble never touches another's.

import { type BackoffPolicy, backoffMs } from '../../lib/backoff.ts';

export interface Failure {
  readonly key: string;
  readonly reason: string;
  readonly attempts: number;
  /** Milliseconds of the clock given, at the first of these failures. */
  readonly sinceMs: number;
}

interface Trouble extends Failure {
  readonly signature: string;
  readonly dueMs: number;
}

/** Jitter: a node that comes back should not be tried by everybody in step. */
const RETRY: BackoffPolicy = { firstMs: 100, capMs: 30_000, jitter: 0.3 };

export class PeerLedger {
  readonly #programmed = new Map<string, string>();
  readonly #troubles = new Map<string, Trouble>();
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Whether `key` may be tried: it does not fail, its retry is due, or it is to become something new. */
  isDue(key: string, signature: string, nowMs: number): boolean {
    const trouble = this.#troubles.get(key);
    return trouble === undefined || trouble.dueMs <= nowMs || trouble.signature !== signature;
  }

  /** Notes a failure and when to try again: after about 0.1 s, then twice as long each time, up to 30 s. */
  failed(key: string, signature: string, reason: string, nowMs: number): Failure {
    const before = this.#troubles.get(key);
    const again = before !== undefined && before.signature === signature;
    const attempts = again ? before.attempts + 1 : 1;
    const delayMs = backoffMs(RETRY, attempts, this.#random());
    const sinceMs = again ? before.sinceMs : nowMs;
    const trouble = { key, signature, reason, attempts, sinceMs, dueMs: nowMs + delayMs };
    this.#troubles.set(key, trouble);
    return trouble;
  }

  /** Notes that `key` is in the kernel as `signature`. */
  succeeded(key: string, signature: string): void {
    this.#troubles.delete(key);
    this.#programmed.set(key, signature);
  }

  isFailing(key: string): boolean {
    return this.#troubles.has(key);
  }

  /** Notes that nothing is wanted for `key` any more. */
  forget(key: string): void {
    this.#troubles.delete(key);
    this.#programmed.delete(key);
  }

  /** As what `key` was programmed last. */
  programmedAs(key: string): string | undefined {
    return this.#programmed.get(key);
  }

  /** Forgets every key for which `isKnown` is false. */
  retain(isKnown: (key: string) => boolean): void {
    for (const key of this.#programmed.keys()) if (!isKnown(key)) this.#programmed.delete(key);
    for (const key of this.#troubles.keys()) if (!isKnown(key)) this.#troubles.delete(key);
  }

  /** Milliseconds to the next retry, undefined when nothing fails. */
  nextDueMs(nowMs: number): number | undefined {
    let due: number | undefined;
    for (const trouble of this.#troubles.values()) due = Math.min(due ?? trouble.dueMs, trouble.dueMs);
    return due === undefined ? undefined : Math.max(0, due - nowMs);
  }

  failures(): Failure[] {
    return [...this.#troubles.values()].map(({ key, reason, attempts, sinceMs }) => ({
      key,
      reason,
      attempts,
      sinceMs,
    }));
  }
}

/** Whether the n-th repetition of the same failure is worth a line: the 1st, 10th, 100th … */
export function isWorthLogging(attempts: number): boolean {
  return /^10*$/.test(String(attempts));
}
