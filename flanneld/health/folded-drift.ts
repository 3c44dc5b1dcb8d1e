// Combines changes that have one cause into one entry. When somebody deletes a device or sets it down, the kernel removes its neighbours,
// nexthops and routes. The repairs in the same run are counted under the device, so that the ledger shows what somebody did and not its
// thousands of consequences.

import type { Drift, DriftNotes, DriftObject } from './drift-ledger.ts';

export class FoldedDrift implements DriftNotes {
  readonly #notes: DriftNotes | undefined;
  #cause: Drift | undefined;
  readonly #followed = new Map<DriftObject, number>();

  constructor(notes: DriftNotes | undefined) {
    this.#notes = notes;
  }

  /** Counts all changes noted from now until `close` under this cause. A second cause is counted under the first. */
  cause(drift: Drift): void {
    if (this.#cause === undefined) this.#cause = drift;
    else this.note(drift);
  }

  note(drift: Drift): void {
    if (this.#cause === undefined) this.#notes?.note(drift);
    else this.#followed.set(drift.object, (this.#followed.get(drift.object) ?? 0) + (drift.count ?? 1));
  }

  /** Passes the cause on, with the number of repairs that followed from it. */
  close(): void {
    if (this.#cause === undefined) return;
    const followed = Object.fromEntries(this.#followed);
    this.#notes?.note({ ...this.#cause, ...(this.#followed.size > 0 && { followed }) });
    this.#cause = undefined;
    this.#followed.clear();
  }
}
