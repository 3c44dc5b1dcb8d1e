// Drift that has one cause: a device that somebody deleted or set down takes neighbours, nexthops and routes along. What is
// put right after it in the same run is counted under it, so that the ledger shows what was done, not what followed.

import type { Drift, DriftNotes, DriftObject } from './drift-ledger.ts';

export class FoldedDrift implements DriftNotes {
  readonly #notes: DriftNotes | undefined;
  #cause: Drift | undefined;
  readonly #followed = new Map<DriftObject, number>();

  constructor(notes: DriftNotes | undefined) {
    this.#notes = notes;
  }

  /** What is noted from now on until `close` followed from this; so did a second cause. */
  cause(drift: Drift): void {
    if (this.#cause === undefined) this.#cause = drift;
    else this.note(drift);
  }

  note(drift: Drift): void {
    if (this.#cause === undefined) this.#notes?.note(drift);
    else this.#followed.set(drift.object, (this.#followed.get(drift.object) ?? 0) + (drift.count ?? 1));
  }

  /** Hands the cause on with all that followed. */
  close(): void {
    if (this.#cause === undefined) return;
    const followed = Object.fromEntries(this.#followed);
    this.#notes?.note({ ...this.#cause, ...(this.#followed.size > 0 && { followed }) });
    this.#cause = undefined;
    this.#followed.clear();
  }
}
