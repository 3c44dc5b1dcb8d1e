// The wanted objects by key, each with the peer that needs it, so that an event about one object needs only one look-up.

import type { Wants } from './mirror.ts';
import type { AnyKind, ObjectKey, WantedObject } from './objects/kind.ts';
import { type PeerChange, type Plan, type PlannedPeer, sameObjects } from './plan.ts';

/** Called for each key that is no longer wanted, then for each that is wanted now: one key may be in both. */
export interface OnWanted {
  gone(kind: AnyKind, key: ObjectKey, want: unknown): void;
  come(kind: AnyKind, key: ObjectKey, want: unknown): void;
}

export class WantedObjects<P extends PlannedPeer> implements Wants {
  readonly #objectsOf: (peer: P, only?: AnyKind) => readonly WantedObject[];
  readonly #byKey = new Map<AnyKind, Map<ObjectKey, P>>();
  /** The peer that an unwanted object was for, until the object is gone. */
  readonly #former = new Map<AnyKind, Map<ObjectKey, string>>();
  readonly #peers = new Map<string, P>();
  #plan: Plan<P> | undefined;

  /** `objectsOf`: see PeerObjects.objects. */
  constructor(kinds: readonly AnyKind[], objectsOf: (peer: P, only?: AnyKind) => readonly WantedObject[]) {
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

  countOf(kind: AnyKind): number {
    return this.#byKey.get(kind)?.size ?? 0;
  }

  *wants(kind: AnyKind): Iterable<[ObjectKey, unknown]> {
    for (const [key, peer] of this.#byKey.get(kind) ?? []) yield [key, this.#wantOf(peer, kind, key)];
  }

  /** The keys of the wanted objects. */
  keysOf(kind: AnyKind): { has(key: ObjectKey): boolean } | undefined {
    return this.#byKey.get(kind);
  }

  has(kind: AnyKind, key: ObjectKey): boolean {
    return this.#byKey.get(kind)?.has(key) === true;
  }

  /** The peer that needs the object under a key. */
  peerAt(kind: AnyKind, key: ObjectKey): P | undefined {
    return this.#byKey.get(kind)?.get(key);
  }

  wantAt(kind: AnyKind, key: ObjectKey): unknown {
    const peer = this.peerAt(kind, key);
    return peer && this.#wantOf(peer, kind, key);
  }

  #wantOf(peer: P, kind: AnyKind, key: ObjectKey): unknown {
    for (const object of this.#objectsOf(peer, kind)) {
      if (object.kind === kind && kind.wantedKey(object.want) === key) return object.want;
    }
    return undefined;
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
   * Takes in a new plan and calls `on` for each key whose wanted object has changed. Returns the peers that are new, gone, or need other
   * objects.
   */
  take(plan: Plan<P>, on: OnWanted): readonly PeerChange<P>[] {
    if (plan === this.#plan) return [];
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
    for (const { before } of changes) if (before !== undefined) this.#remove(before, on);
    for (const { after } of changes) if (after !== undefined) this.#add(after, on);
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

  #remove(peer: P, on: OnWanted): void {
    for (const { kind, want } of this.#objectsOf(peer)) {
      const key = kind.wantedKey(want);
      this.#byKey.get(kind)?.delete(key);
      this.#former.get(kind)?.set(key, peer.key);
      on.gone(kind, key, want);
    }
  }

  #add(peer: P, on: OnWanted): void {
    for (const { kind, want } of this.#objectsOf(peer)) {
      const key = kind.wantedKey(want);
      this.#byKey.get(kind)?.set(key, peer);
      const former = this.#former.get(kind);
      if (former !== undefined && former.size > 0) former.delete(key);
      on.come(kind, key, want);
    }
  }
}
