// Keeping the agent's memory near what it holds. An agent works for a moment when thousands of leases come, then idles
// for days; V8 would keep the garbage of that moment and never look again. The flags are those of V8 11.3; a version
// that lacks one ignores it. See engine.ts for the other half.

import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock } from '../../lib/clock-node.ts';

/** After this long without work a collection is in nobody's way. */
const QUIET_MS = 1000;
/**
 * One of a heap this large takes longer than an event may wait while there is work: it waits for real quiet. With 5000
 * peers 15 MB live, which takes 20 ms, among 30 to 60 MB, of which the rest takes nothing.
 */
const LARGE_BYTES = 80e6;
const LARGE_QUIET_MS = 10_000;
/** A heap that was and is small is left alone: collecting takes milliseconds, too. */
const GROWTH = 1.2;
const GROWTH_BYTES = 2e6;

/** Collects garbage when the agent has come to rest after other leases came, and its heap has grown. */
export class HeapKeeper {
  readonly #clock: Clock;
  readonly #heapBytes: () => number;
  readonly #compact: () => void;
  #cancel: (() => void) | undefined;
  /** What the start itself leaves is worth a first collection. */
  #due = true;
  /** Bytes in use after the last collection. */
  #restingBytes = 0;

  constructor(clock: Clock, heapBytes: () => number = usedBytes, compact: () => void = collectAndCompact) {
    this.#clock = clock;
    this.#heapBytes = heapBytes;
    this.#compact = compact;
  }

  /** Call when there are other leases: only then is there garbage in masses; that of a look V8 handles by itself. */
  leasesChanged(): void {
    this.#due = true;
  }

  /** Call after every piece of work. */
  worked(): void {
    if (!this.#due) return;
    this.#cancel?.();
    const quietMs = this.#heapBytes() > LARGE_BYTES ? LARGE_QUIET_MS : QUIET_MS;
    this.#cancel = this.#clock.after(quietMs, () => this.#rest());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #rest(): void {
    this.#cancel = undefined;
    this.#due = false;
    if (this.#heapBytes() <= this.#restingBytes * GROWTH + GROWTH_BYTES) return;
    this.#compact();
    this.#restingBytes = this.#heapBytes();
  }
}

function usedBytes(): number {
  return getHeapStatistics().used_heap_size;
}

function collectAndCompact(): void {
  // The function exists only in a context made while the flag is set.
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('typeof gc === "function" ? gc : undefined');
  setFlagsFromString('--no-expose-gc');
  if (typeof collect !== 'function') return;
  // Else the few objects that stay keep every page they lie on.
  setFlagsFromString('--compact-on-every-full-gc');
  collect();
  setFlagsFromString('--no-compact-on-every-full-gc');
}
