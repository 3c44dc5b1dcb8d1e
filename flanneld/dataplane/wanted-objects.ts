// What is wanted, by key: which peer needs the object in a place, so that one event about one object needs one look-up.

import { findWanted } from './compare.ts';
import type { AnyKind, ObjectKey, WantedObject } from './objects/kind.ts';
import { type Plan, type PlannedPeer, sameObjects } from './plan.ts';

type Touch = (kind: AnyKind, key: ObjectKey) => void;

export class WantedObjects<P extends PlannedPeer> {
  readonly #objectsOf: (peer: P) => readonly WantedObject[];
  readonly #byKey = new Map<AnyKind, Map<ObjectKey, P>>();
  /** For whom an object was that nobody wants any more, until it is gone. */
  readonly #former = new Map<AnyKind, Map<ObjectKey, string>>();
  #peers: Map<string, P> = new Map();

  constructor(kinds: readonly AnyKind[], objectsOf: (peer: P) => readonly WantedObject[]) {
    this.#objectsOf = objectsOf;
    for (const kind of kinds) {
      this.#byKey.set(kind, new Map());
      this.#former.set(kind, new Map());
    }
  }

  /** By key of the lease; a peer is the same object as long as what it needs is the same. */
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

  /** What is not there any more needs no former owner. */
  forget(kind: AnyKind, key: ObjectKey): void {
    this.#former.get(kind)?.delete(key);
  }

  /**
   * Takes a new plan over; `touch` is told of each key where something else is wanted than before. Returns the keys of
   * peers that are new or need something else.
   */
  take({ peers }: Pick<Plan<P>, 'peers'>, touch: Touch): readonly string[] {
    const before = this.#peers;
    const now = new Map<string, P>();
    const come: P[] = [];
    const gone: P[] = [];
    for (const [key, peer] of peers) {
      const old = before.get(key);
      const isSame = old === peer || (old !== undefined && this.#isSame(old, peer));
      now.set(key, old !== undefined && isSame ? old : peer);
      if (isSame) continue;
      if (old !== undefined) gone.push(old);
      come.push(peer);
    }
    for (const [key, old] of before) if (!peers.has(key)) gone.push(old);
    this.#peers = now;
    // First what was: an object may go from one peer to another.
    for (const peer of gone) this.#remove(peer, touch);
    for (const peer of come) this.#add(peer, touch);
    return come.map(({ key }) => key);
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
