// Keeps the latest snapshot of the cluster's leases, and calls a listener when there is a new one.

import type { LeaseSnapshot, SubnetManager } from './manager.ts';

export class LeaseView {
  /** Resolves when watching ended because of the signal; rejects when the cluster state was lost for good. */
  readonly ended: Promise<void>;
  readonly #firstSnapshot: Promise<LeaseSnapshot>;
  #latest: LeaseSnapshot | undefined;
  #onChange: () => void = () => undefined;

  /** Starts watching at once. */
  constructor(manager: SubnetManager, signal: AbortSignal) {
    let resolveFirst: (snapshot: LeaseSnapshot) => void = () => undefined;
    const first = new Promise<LeaseSnapshot>((resolve) => {
      resolveFirst = resolve;
    });
    this.ended = manager.watch((snapshot) => {
      this.#latest = snapshot;
      resolveFirst(snapshot);
      this.#onChange();
    }, signal);
    const endedFirst = this.ended.then((): never => {
      throw new Error('watching the leases ended before the first snapshot');
    });
    this.#firstSnapshot = Promise.race([first, endedFirst]);
    // Without these handlers a rejection that no code waits for would end the process.
    this.#firstSnapshot.catch(() => undefined);
    this.ended.catch(() => undefined);
  }

  /** The first snapshot; rejects when watching ends before there is one. */
  first(): Promise<LeaseSnapshot> {
    return this.#firstSnapshot;
  }

  /** The latest snapshot; empty before the first. */
  get latest(): LeaseSnapshot {
    return this.#latest ?? { leases: new Map(), problems: [] };
  }

  /** Calls `onChange` after every further snapshot. There is only one listener: a second call replaces the first. */
  listen(onChange: () => void): void {
    this.#onChange = onChange;
  }
}
