// The wanted objects by key, each with the peer that needs it, so that an event about one object needs only one look-up.

import type { Owner, Wants } from './mirror.ts';
import type { AnyKind, ObjectKey, WantedObject } from './objects/kind.ts';
import { type PeerChange, type Plan, type PlannedPeer, sameObjects } from './plan.ts';

/** Called for a key that is no longer wanted. */
export type OnGone = (kind: AnyKind, key: ObjectKey, want: unknown) => void;
/** Called for a key that is wanted now; `owner` is the lease key of the peer that needs the object. */
export type OnCome = (kind: AnyKind, key: ObjectKey, want: unknown, owner: string) => void;

/** The wanted objects of one kind. */
interface KindIndex<P extends PlannedPeer> {
  readonly owners: Map<ObjectKey, Owner<P>>;
  /** The peer that an unwanted object was for, until the object is gone. */
  readonly former: Map<ObjectKey, string>;
}

export class WantedObjects<P extends PlannedPeer> implements Wants<P> {
  readonly #objectsOf: (peer: P, only?: AnyKind) => readonly WantedObject[];
  readonly #byKind: ReadonlyMap<AnyKind, KindIndex<P>>;
  readonly #peers = new Map<string, P>();
  #unindexed: P[] = [];
  #plan: Plan<P> | undefined;

  /** `objectsOf`: see PeerObjects.objects. */
  constructor(kinds: readonly AnyKind[], objectsOf: (peer: P, only?: AnyKind) => readonly WantedObject[]) {
    this.#objectsOf = objectsOf;
    this.#byKind = new Map(kinds.map((kind) => [kind, { owners: new Map(), former: new Map() }]));
  }

  /** The peers by lease key. A peer stays the same object as long as it needs the same. */
  get peers(): ReadonlyMap<string, P> {
    return this.#peers;
  }

  objectsOf(peer: P): readonly WantedObject[] {
    return this.#objectsOf(peer);
  }

  ownersOf(kind: AnyKind): ReadonlyMap<ObjectKey, Owner<P>> {
    return this.#indexOf(kind).owners;
  }

  has(kind: AnyKind, key: ObjectKey): boolean {
    return this.ownersOf(kind).has(key);
  }

  wantOf({ peer }: Owner<P>, kind: AnyKind, key: ObjectKey): unknown {
    const objects = this.#objectsOf(peer, kind);
    // Nearly every peer has one object of a kind, and then it is this one.
    if (objects.length === 1) return objects[0]?.want;
    return objects.find((object) => object.kind === kind && kind.wantedKey(object.want) === key)?.want;
  }

  #indexOf(kind: AnyKind): KindIndex<P> {
    const index = this.#byKind.get(kind);
    if (index === undefined)
      throw new Error(`a peer needs an object of the kind ${kind.name}, which its backend does not name`);
    return index;
  }

  /** The peer that an object was for, if that peer is gone. */
  formerOwner(kind: AnyKind, key: ObjectKey): string | undefined {
    const owner = this.#indexOf(kind).former.get(key);
    return owner === undefined || this.#peers.has(owner) ? undefined : owner;
  }

  /** Call when an unwanted object is gone; its former owner is then forgotten. */
  forget(kind: AnyKind, key: ObjectKey): void {
    this.#indexOf(kind).former.delete(key);
  }

  /** The keys of the unwanted objects that were for a peer. */
  formerKeys(kind: AnyKind): Iterable<ObjectKey> {
    return this.#indexOf(kind).former.keys();
  }

  /**
   * Takes in a new plan and calls `onGone` for each key that a peer needs no more; `index` must be called for the others. Returns the peers
   * that are new, gone, or need other objects.
   */
  take(plan: Plan<P>, onGone: OnGone): readonly PeerChange<P>[] {
    if (plan === this.#plan) return [];
    if (this.#unindexed.length > 0)
      throw new Error('a plan is taken in before the objects of the last one are in the index');
    const isStep = plan.step !== undefined && plan.step.from === this.#plan;
    const changes: PeerChange<P>[] = [];
    for (const change of isStep ? plan.step.changes : this.#changesTo(plan.peers)) {
      const { key, before, after } = change;
      if (before !== undefined && after !== undefined && this.#isSame(before, after)) continue;
      changes.push(change);
      if (before !== undefined) this.#remove(before, onGone);
      if (after === undefined) this.#peers.delete(key);
      else {
        this.#peers.set(key, after);
        this.#unindexed.push(after);
      }
    }
    this.#plan = plan;
    return changes;
  }

  /** The peers that were taken in and whose objects are not in the index yet. */
  get unindexed(): readonly P[] {
    return this.#unindexed;
  }

  /** Enters the objects of the peers that were taken in, and calls `onCome` for each. No object can be looked up by its key before. */
  index(onCome: OnCome): void {
    const peers = this.#unindexed;
    this.#unindexed = [];
    for (const peer of peers) this.#add(peer, onCome);
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

  #remove(peer: P, onGone: OnGone): void {
    for (const { kind, want } of this.#objectsOf(peer)) {
      const key = kind.wantedKey(want);
      const { owners, former } = this.#indexOf(kind);
      owners.delete(key);
      former.set(key, peer.key);
      onGone(kind, key, want);
    }
  }

  #add(peer: P, onCome: OnCome): void {
    const owner = { peer, seenIn: 0 };
    for (const { kind, want } of this.#objectsOf(peer)) {
      const key = kind.wantedKey(want);
      const { owners, former } = this.#indexOf(kind);
      owners.set(key, owner);
      if (former.size > 0) former.delete(key);
      onCome(kind, key, want, peer.key);
    }
  }
}
