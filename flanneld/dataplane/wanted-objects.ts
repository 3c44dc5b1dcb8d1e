// The wanted objects by key, each with the peer that needs it, so that an event about one object needs only one look-up.

import { findWanted } from './compare.ts';
import type { AnyKind, ObjectKey, WantedObject } from './objects/kind.ts';
import { type PeerChange, type Plan, type PlannedPeer, sameObjects } from './plan.ts';

type Touch = (kind: AnyKind, key: ObjectKey) => void;

export class WantedObjects<P extends PlannedPeer> {
  readonly #objectsOf: (peer: P) => readonly WantedObject[];
  readonly #byKey = new Map<AnyKind, Map<ObjectKey, P>>();
  /** The peer that an unwanted object was for, until the object is gone. */
  readonly #former = new Map<AnyKind, Map<ObjectKey, string>>();
  readonly #peers = new Map<string, P>();
  #plan: Plan<P> | undefined;

  constructor(kinds: readonly AnyKind[], objectsOf: (peer: P) => readonly WantedObject[]) {
    this.#objectsOf = objectsOf;
    for (const kind of kinds) {
      this.#byKey.set(kind, new Map());
      this.#former.set(kind, new Map());
    }
  }

  /** The peers by lease key. A peer stays the same object as long as it needs the same. */
  get peers(): ReadonlyMap<string, P> {
    return this.#peers;
  }

  objectsOf(peer: P): readonly WantedObject[] {
    return this.#objectsOf(peer);
  }

  keys(kind: AnyKind): Iterable<ObjectKey> {
    return this.#byKey.get(kind)?.keys() ?? [];
  }

  has(kind: AnyKind, key: ObjectKey): boolean {
    return this.#byKey.get(kind)?.has(key) === true;
  }

  at(kind: AnyKind, key: ObjectKey): { owner: string; want: unknown } | undefined {
    const peer = this.#byKey.get(kind)?.get(key);
    return peer && { owner: peer.key, want: findWanted(this.#objectsOf(peer), kind, key) };
  }

  /** The peer that an object was for, if that peer is gone. */
  formerOwner(kind: AnyKind, key: ObjectKey): string | undefined {
    const owner = this.#former.get(kind)?.get(key);
    return owner === undefined || this.#peers.has(owner) ? undefined : owner;
  }

  /** Call when an unwanted object is gone; its former owner is then forgotten. */
  forget(kind: AnyKind, key: ObjectKey): void {
    this.#former.get(kind)?.delete(key);
  }

  /**
   * Takes over a new plan and calls `touch` for each key where something else is wanted than before. Returns the peers that
   * are new, gone, or need something else.
   */
  take(plan: Plan<P>, touch: Touch): readonly PeerChange<P>[] {
    const isStep = plan.step !== undefined && plan.step.from === this.#plan;
    const changes = (isStep ? plan.step.changes : this.#changesTo(plan.peers)).filter(
      ({ before, after }) => before === undefined || after === undefined || !this.#isSame(before, after),
    );
    this.#plan = plan;
    for (const { key, after } of changes) {
      if (after === undefined) this.#peers.delete(key);
      else this.#peers.set(key, after);
    }
    // Old objects are removed first, because an object may go from one peer to another.
    for (const { before } of changes) if (before !== undefined) this.#remove(before, touch);
    for (const { after } of changes) if (after !== undefined) this.#add(after, touch);
    return changes;
  }

  #changesTo(peers: ReadonlyMap<string, P>): PeerChange<P>[] {
    const changes: PeerChange<P>[] = [];
    for (const [key, after] of peers) {
      const before = this.#peers.get(key);
      if (before !== after) changes.push({ key, before, after });
    }
    for (const [key, before] of this.#peers) if (!peers.has(key)) changes.push({ key, before, after: undefined });
    return changes;
  }

  #isSame(a: P, b: P): boolean {
    return sameObjects(this.#objectsOf(a), this.#objectsOf(b));
  }

  #remove(peer: P, touch: Touch): void {
    for (const { kind, want } of this.#objectsOf(peer)) {
      const key = kind.wantedKey(want);
      this.#byKey.get(kind)?.delete(key);
      this.#former.get(kind)?.set(key, peer.key);
      touch(kind, key);
    }
  }

  #add(peer: P, touch: Touch): void {
    for (const { kind, want } of this.#objectsOf(peer)) {
      const key = kind.wantedKey(want);
      this.#byKey.get(kind)?.set(key, peer);
      this.#former.get(kind)?.delete(key);
      touch(kind, key);
    }
  }
}
