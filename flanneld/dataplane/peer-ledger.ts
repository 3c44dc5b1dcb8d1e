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
  /** As what it was to be programmed; undefined for a leftover. */
  readonly signature: string | undefined;
  readonly dueMs: number;
}

/** The place of a key in some state; undefined when it has none. */
export type SignatureOf = (key: string) => string | undefined;

/** Jitter: a node that comes back should not be tried by everybody in step. */
const RETRY: BackoffPolicy = { firstMs: 100, capMs: 30_000, jitter: 0.3 };

export class PeerLedger {
  /** As what each key was programmed, by the state reached last … */
  #reached: SignatureOf = () => undefined;
  /** … but for these, which that state has not reached yet. */
  #behind: ReadonlyMap<string, string | undefined> = new Map();
  readonly #troubles = new Map<string, Trouble>();
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Whether `key` may be tried: it does not fail, its retry is due, or it is to become something new. */
  isDue(key: string, signatureOf: SignatureOf, nowMs: number): boolean {
    const trouble = this.#troubles.get(key);
    return trouble === undefined || trouble.dueMs <= nowMs || trouble.signature !== signatureOf(key);
  }

  /** Notes a failure and when to try again: after about 0.1 s, then twice as long each time, up to 30 s. */
  failed(key: string, signature: string | undefined, reason: string, nowMs: number): Failure {
    const before = this.#troubles.get(key);
    const again = before !== undefined && before.signature === signature;
    const attempts = again ? before.attempts + 1 : 1;
    const delayMs = backoffMs(RETRY, attempts, this.#random());
    const sinceMs = again ? before.sinceMs : nowMs;
    const trouble = { key, signature, reason, attempts, sinceMs, dueMs: nowMs + delayMs };
    this.#troubles.set(key, trouble);
    return trouble;
  }

  /** Notes that `key` is as it should be. */
  succeeded(key: string): void {
    this.#troubles.delete(key);
  }

  isFailing(key: string): boolean {
    return this.#troubles.has(key);
  }

  /**
   * Notes that every key is in the kernel as `signatureOf` says, but for those in `behind`, which are as they were.
   * A function, not a text a key: thousands of texts would be made to be looked at once in a while.
   */
  reached(signatureOf: SignatureOf, behind: Iterable<string>): void {
    const stay = new Map<string, string | undefined>();
    for (const key of behind) stay.set(key, this.programmedAs(key));
    this.#reached = signatureOf;
    this.#behind = stay;
  }

  /** As what `key` was programmed last. */
  programmedAs(key: string): string | undefined {
    return this.#behind.has(key) ? this.#behind.get(key) : this.#reached(key);
  }

  /** Forgets the failures of every key for which `isInTrouble` is false. */
  retain(isInTrouble: (key: string) => boolean): void {
    for (const key of this.#troubles.keys()) if (!isInTrouble(key)) this.#troubles.delete(key);
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
