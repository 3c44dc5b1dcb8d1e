// Keeps the agent's memory near what it really uses. The agent works for a moment when thousands of leases arrive and is then idle for
// days; an idle V8 collects no garbage, so it would keep the garbage of that moment. The flags are those of V8 11.3; a version that lacks
// one ignores it. engine.ts sets the flags that hold for the whole run.

import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock } from '../../lib/clock-node.ts';
import { trimFreeMemory } from '../../lib/sys/malloc-node.ts';

/** After this long without work a collection probably delays no event. */
const QUIET_MS = 1000;
/**
 * Collecting a heap larger than this takes longer than an event should wait, so the agent first waits for a longer quiet.
 * With 5000 peers the heap is 30 to 60 MB, of which 15 MB are in use; a collection then takes 20 ms.
 */
const LARGE_BYTES = 80e6;
const LARGE_QUIET_MS = 10_000;
/** A heap that has grown by less than this factor and this many bytes is left alone: a collection would not be worth its time. */
const GROWTH = 1.2;
/** The same where few leases have changed: while single leases change among thousands, V8 itself collects most of the garbage. */
const GROWTH_BY_FEW = 1.5;
const FEW_LEASES = 500;
const GROWTH_BYTES = 2e6;

/** Collects garbage when leases have changed, the agent has come to rest, and its heap has grown. */
export class HeapKeeper {
  readonly #clock: Clock;
  readonly #heapBytes: () => number;
  readonly #compact: () => void;
  #cancel: (() => void) | undefined;
  /** True from the beginning: the start leaves garbage, too. */
  #due = true;
  #changedLeases = 0;
  /** Bytes in use after the last collection. */
  #restingBytes = 0;

  constructor(clock: Clock, heapBytes: () => number = usedBytes, compact: () => void = collectAndCompact) {
    this.#clock = clock;
    this.#heapBytes = heapBytes;
    this.#compact = compact;
  }

  /** Call whenever leases have changed, with their number. */
  leasesChanged(count: number): void {
    this.#changedLeases += count;
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
    const growth = this.#changedLeases < FEW_LEASES ? GROWTH_BY_FEW : GROWTH;
    if (this.#heapBytes() <= this.#restingBytes * growth + GROWTH_BYTES) return;
    this.#changedLeases = 0;
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
  // Without compaction the few objects that stay keep every memory page on which one of them lies.
  // In V8 13 the collection is also what starts the engine's own ones, which give the pages back that it has kept for later.
  setFlagsFromString('--compact-on-every-full-gc');
  collect();
  setFlagsFromString('--no-compact-on-every-full-gc');
  trimFreeMemory();
}
