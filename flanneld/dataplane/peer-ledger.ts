// Records which keys (a peer's lease, or a leftover) do not have what they need yet and, if one fails, why and when to try again. The
// trouble of one key never affects another.

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
  /** The peers that do not have all their objects yet, and whether they had the ones that they needed before. */
  readonly #unsettled = new Map<string, boolean>();
  readonly #troubles = new Map<string, Trouble<P>>();
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Notes that a peer is new, or needs other objects than before. */
  wanted(key: string, isNew: boolean): void {
    this.#unsettled.set(key, !isNew && this.wasProgrammed(key));
  }

  /** Whether a peer has had all the objects that it needs; somebody may have changed them since. */
  isSettled(key: string): boolean {
    return !this.#unsettled.has(key);
  }

  /** Whether a peer has had all the objects that it needs, or needed before. */
  wasProgrammed(key: string): boolean {
    return this.#unsettled.get(key) ?? true;
  }

  /** The peers that are not settled. */
  unsettled(): readonly string[] {
    return [...this.#unsettled.keys()];
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

  /** Notes that `key` has what it needs, or is gone. */
  succeeded(key: string): void {
    this.#troubles.delete(key);
    this.#unsettled.delete(key);
  }

  isFailing(key: string): boolean {
    return this.#troubles.has(key);
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
