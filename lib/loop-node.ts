// A level-triggered loop: whatever wakes it, it calls the same function, one run at a time. Wake-ups that arrive together or during
// a run lead to a single further run. Runs begin at least `minGapMs` and at most `auditMs` apart. After a run the loop rests as
// long as the run took, so that many wake-ups use at most half of a processor's time.

import type { Clock } from './clock-node.ts';

/** Why a run began, for the log. */
type Reason = string;

export interface LoopOptions<R extends Reason = Reason> {
  /**
   * Reads the state and repairs it. Returns after how many milliseconds it wants to run again without a wake-up; undefined means at
   * the audit.
   */
  run(reasons: ReadonlySet<R>): Promise<number | undefined>;
  /** Is called with what `run` threw. The loop goes on after a back-off. */
  onError(error: unknown): void;
  readonly clock: Clock;
  /** The shortest time between the starts of two runs, so that events that arrive together cause one run. */
  readonly minGapMs: number;
  /** Longest time without a run. */
  readonly auditMs: number;
}

export interface Loop<R extends Reason = Reason> {
  /** Asks for a run soon. `reason` is for the log. */
  wake(reason: R): void;
  /** Ends the loop. Resolves when a run in progress has ended; nothing runs afterwards. */
  stop(): Promise<void>;
}

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 30_000;
/** Longest rest after a run. */
const LONGEST_REST_MS = 250;
/** After a failure, a wake-up does not start a run earlier than this, because the failure itself may have caused the wake-up. */
const WOKEN_RETRY_MS = 1000;

/** Starts a loop; its first run begins at once. */
export function startLoop<R extends Reason>(options: LoopOptions<R | 'start'>): Loop<R | 'start'> {
  const loop = new ReconcileLoop<R | 'start'>(options);
  loop.wake('start');
  return loop;
}

class ReconcileLoop<R extends Reason> implements Loop<R> {
  readonly #options: LoopOptions<R>;
  readonly #reasons = new Set<R>();
  #cancelTimer: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #lastStart = Number.NEGATIVE_INFINITY;
  /** The next run begins no earlier than this. */
  #restedAt = Number.NEGATIVE_INFINITY;
  #dueMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #stopped = false;

  constructor(options: LoopOptions<R>) {
    this.#options = options;
  }

  wake(reason: R): void {
    if (this.#stopped) return;
    this.#reasons.add(reason);
    if (this.#running !== undefined) return;
    const soonest = this.#failures > 0 ? this.#lastStart + WOKEN_RETRY_MS : this.#restedAt;
    // A retry that is due sooner is not moved.
    if (soonest < this.#dueMs || this.#cancelTimer === undefined) this.#schedule(soonest - this.#options.clock.now());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  #schedule(delayMs: number): void {
    const { clock } = this.#options;
    this.#cancelTimer?.();
    this.#dueMs = clock.now() + Math.max(0, delayMs);
    this.#cancelTimer = clock.after(Math.max(0, delayMs), () => {
      this.#cancelTimer = undefined;
      this.#running = this.#runOnce();
    });
  }

  async #runOnce(): Promise<void> {
    const { clock, auditMs, minGapMs } = this.#options;
    this.#lastStart = clock.now();
    const reasons = new Set(this.#reasons);
    this.#reasons.clear();
    let nextMs: number;
    try {
      nextMs = Math.min((await this.#options.run(reasons)) ?? auditMs, auditMs);
      this.#failures = 0;
    } catch (error) {
      nextMs = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, LAST_RETRY_MS);
      this.#failures++;
      this.#options.onError(error);
    }
    this.#running = undefined;
    if (this.#stopped) return;
    const now = clock.now();
    const restMs = Math.min(now - this.#lastStart, LONGEST_REST_MS);
    this.#restedAt = Math.max(this.#lastStart + minGapMs, now + restMs);
    if (this.#reasons.size > 0 && this.#failures === 0) nextMs = 0;
    this.#schedule(Math.max(nextMs, this.#restedAt - now));
  }
}
