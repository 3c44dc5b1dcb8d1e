// Records for each key (a peer's lease, or a leftover) how it was last programmed and, if it fails, why and when to try again. The trouble
// of one key never affects another.

import { type BackoffPolicy, backoffMs } from '../../lib/backoff.ts';

export interface Failure {
  readonly key: string;
  readonly reason: string;
  readonly attempts: number;
}

interface Trouble<P> extends Failure {
  /** The peer as it was to be programmed; undefined for a leftover. */
  readonly as: P | undefined;
  readonly dueMs: number;
}

/** With jitter, so that not all nodes retry a returning node at the same moment. */
const RETRY: BackoffPolicy = { firstMs: 100, capMs: 30_000, jitter: 0.3 };

/** `P` is a wanted peer. It must be the same object as long as nothing about it changes. */
export class PeerLedger<P> {
  readonly #programmed = new Map<string, P>();
  readonly #troubles = new Map<string, Trouble<P>>();
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Whether `key` may be tried now: it does not fail, its retry is due, or something else is wanted than before. */
  isDue(key: string, as: P | undefined, nowMs: number): boolean {
    const trouble = this.#troubles.get(key);
    return trouble === undefined || trouble.dueMs <= nowMs || trouble.as !== as;
  }

  /** Notes a failure and when to try again: after about 0.1 s, then twice as long each time, up to 30 s. */
  failed(key: string, as: P | undefined, reason: string, nowMs: number): Failure {
    const before = this.#troubles.get(key);
    const attempts = before !== undefined && before.as === as ? before.attempts + 1 : 1;
    const dueMs = nowMs + backoffMs(RETRY, attempts, this.#random());
    const trouble = { key, as, reason, attempts, dueMs };
    this.#troubles.set(key, trouble);
    return trouble;
  }

  /** Notes that `key` is as wanted; `as` is undefined when it is gone. */
  succeeded(key: string, as: P | undefined): void {
    this.#troubles.delete(key);
    if (as === undefined) this.#programmed.delete(key);
    else this.#programmed.set(key, as);
  }

  isFailing(key: string): boolean {
    return this.#troubles.has(key);
  }

  /** The peer as it was programmed last. */
  programmedAs(key: string): P | undefined {
    return this.#programmed.get(key);
  }

  /** Makes all retries due at once, because something has changed that may help. */
  retryNow(): void {
    for (const [key, trouble] of this.#troubles) this.#troubles.set(key, { ...trouble, dueMs: 0 });
  }

  /** Milliseconds until the next retry; undefined when nothing fails. */
  nextDueMs(nowMs: number): number | undefined {
    let due: number | undefined;
    for (const { dueMs } of this.#troubles.values()) due = Math.min(due ?? dueMs, dueMs);
    return due === undefined ? undefined : Math.max(0, due - nowMs);
  }

  failures(): Failure[] {
    return [...this.#troubles.values()].map(({ key, reason, attempts }) => ({ key, reason, attempts }));
  }
}

/** Whether the n-th repetition of the same failure is worth a line: the 1st, 10th, 100th … */
export function isWorthLogging(attempts: number): boolean {
  return /^10*$/.test(String(attempts));
}
