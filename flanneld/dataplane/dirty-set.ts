// The keys of objects that are not as wanted, by kind; the kinds are in the order in which objects are made.

import type { AnyKind, ObjectKey } from './objects/kind.ts';

export class DirtySet {
  readonly #keys: ReadonlyMap<AnyKind, Set<ObjectKey>>;

  constructor(kinds: readonly AnyKind[]) {
    this.#keys = new Map(kinds.map((kind) => [kind, new Set<ObjectKey>()]));
  }

  get keys(): ReadonlyMap<AnyKind, ReadonlySet<ObjectKey>> {
    return this.#keys;
  }

  has(kind: AnyKind, key: ObjectKey): boolean {
    return this.#keys.get(kind)?.has(key) === true;
  }

  /** Notes whether an object is as wanted. */
  note(kind: AnyKind, key: ObjectKey, isRight: boolean): void {
    if (isRight) this.#keys.get(kind)?.delete(key);
    else this.#keys.get(kind)?.add(key);
  }

  clear(): void {
    for (const keys of this.#keys.values()) keys.clear();
  }
}
