// A map that does not change. A changed version costs as much as the change and not as the whole map: all versions share one table, which
// belongs to the newest, and each older version knows how it differs from the next one. So code that has kept an older version learns what
// has changed since then without comparing thousands of entries.

/** A key whose value differs between two versions; undefined where the key is absent. */
export interface MapChange<V> {
  readonly key: string;
  readonly before: V | undefined;
  readonly after: V | undefined;
}

interface Step<V> {
  readonly to: VersionedMap<V>;
  /** The earlier values of the keys that this step changes. */
  readonly before: ReadonlyMap<string, V | undefined>;
}

/** Do not pause while reading its entries: they change when a newer version is made. */
export class VersionedMap<V> implements ReadonlyMap<string, V> {
  readonly size: number;
  /** All entries; an older version has none. */
  private table: Map<string, V> | undefined;
  private next: Step<V> | undefined;
  /** How many changes the older versions that share this table keep. */
  private readonly remembered: number;

  private constructor(table: Map<string, V>, remembered: number) {
    this.table = table;
    this.size = table.size;
    this.remembered = remembered;
  }

  static of<V>(entries: Iterable<readonly [string, V]>): VersionedMap<V> {
    return new VersionedMap(new Map(entries), 0);
  }

  /** The version in which the keys have these values, or are absent where the value is undefined. */
  with(changes: ReadonlyMap<string, V | undefined>): VersionedMap<V> {
    const shared = this.table;
    const remembered = this.remembered + changes.size;
    // A version that is kept for ever must not make the table keep more changes than it has entries.
    if (shared === undefined || remembered > this.size) return new VersionedMap(changed(this.whole(), changes), 0);
    const before = new Map([...changes.keys()].map((key) => [key, shared.get(key)] as const));
    const to = new VersionedMap(changed(shared, changes), remembered);
    this.table = undefined;
    this.next = { to, before };
    return to;
  }

  /** The steps from this version to a newer one; undefined when the newer one was not made from this one. */
  stepsTo(newer: ReadonlyMap<string, V>): ReadonlyMap<string, V | undefined>[] | undefined {
    const steps: ReadonlyMap<string, V | undefined>[] = [];
    let at: VersionedMap<V> = this;
    for (; at !== newer; at = at.next.to) {
      if (at.next === undefined) return undefined;
      steps.push(at.next.before);
    }
    return steps;
  }

  get(key: string): V | undefined {
    let at: VersionedMap<V> = this;
    for (; at.next !== undefined; at = at.next.to) if (at.next.before.has(key)) return at.next.before.get(key);
    return at.table?.get(key);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  entries(): MapIterator<[string, V]> {
    return (this.table ?? this.whole()).entries();
  }

  keys(): MapIterator<string> {
    return (this.table ?? this.whole()).keys();
  }

  values(): MapIterator<V> {
    return (this.table ?? this.whole()).values();
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries();
  }

  forEach(call: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [key, value] of this) call(value, key, this);
  }

  /** A copy of the entries of this version. */
  private whole(): Map<string, V> {
    const steps: ReadonlyMap<string, V | undefined>[] = [];
    let at: VersionedMap<V> = this;
    for (; at.next !== undefined; at = at.next.to) steps.push(at.next.before);
    const table = new Map(at.table);
    for (const before of steps.reverse()) changed(table, before);
    return table;
  }
}

function changed<V>(table: Map<string, V>, changes: ReadonlyMap<string, V | undefined>): Map<string, V> {
  for (const [key, value] of changes) {
    if (value === undefined) table.delete(key);
    else table.set(key, value);
  }
  return table;
}

/** The differences between two maps. When `newer` is a later version of `older`, this costs only as much as the difference. */
export function changesBetween<V>(older: ReadonlyMap<string, V>, newer: ReadonlyMap<string, V>): MapChange<V>[] {
  const keys = changedKeys(older, newer) ?? new Set([...newer.keys(), ...older.keys()]);
  const changes: MapChange<V>[] = [];
  for (const key of keys) {
    const [before, after] = [older.get(key), newer.get(key)];
    if (before !== after) changes.push({ key, before, after });
  }
  return changes;
}

/** The keys of all steps between two versions; undefined when the newer one was not made from the older one. */
function changedKeys<V>(older: ReadonlyMap<string, V>, newer: ReadonlyMap<string, V>): Set<string> | undefined {
  if (older === newer) return new Set();
  const steps = older instanceof VersionedMap ? (older as VersionedMap<V>).stepsTo(newer) : undefined;
  return steps && new Set(steps.flatMap((step) => [...step.keys()]));
}
