// A copy of the kernel's objects that the agent keeps. It is filled by listing everything and then updated by the kernel's
// events. The agent does not enter its own changes: the kernel sends events for them, too, and only these count. When an event
// does not say enough, or events were lost, everything is listed again.
//
// Only objects that are not as wanted are stored. Thousands are as wanted, and of these the plan says what they are. When one
// of them is no longer wanted, it is stored as what it was.

import { breathe } from '../../lib/clock-node.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { RtnetlinkEvent } from '../../lib/rtnetlink/event.ts';
import type { AnyKind, Device, ObjectKey, Place, Table } from './objects/kind.ts';

/** The wanted objects. */
export interface Wants {
  /** The object that is wanted under a key; undefined if none is. */
  wantAt(kind: AnyKind, key: ObjectKey): unknown;
  has(kind: AnyKind, key: ObjectKey): boolean;
  /** How many objects of a kind are wanted. */
  countOf(kind: AnyKind): number;
  wants(kind: AnyKind): Iterable<readonly [ObjectKey, unknown]>;
}

/** The wants of a mirror that only shows what the kernel has. */
export const nothingWanted: Wants = { wantAt: () => undefined, has: () => false, countOf: () => 0, wants: () => [] };

/** Stored under a key whose wanted object is missing. */
const MISSING = Symbol('missing');

/** Called for every key whose object has changed. */
export type OnTouched = (kind: AnyKind, key: ObjectKey) => void;

export class Mirror {
  readonly #kinds: readonly AnyKind[];
  readonly #wants: Wants;
  readonly #onTouched: OnTouched;
  /** The objects that are not as wanted. */
  readonly #tables = new Map<AnyKind, Map<ObjectKey, unknown>>();
  readonly #unsupported = new Set<AnyKind>();
  readonly #versions = new Map<AnyKind, number>();
  #place: Place | undefined;
  #isFirst = true;
  #isDoubtful = true;

  constructor(kinds: readonly AnyKind[], wants: Wants, onTouched: OnTouched) {
    this.#kinds = kinds;
    this.#wants = wants;
    this.#onTouched = onTouched;
    for (const kind of kinds) this.#tables.set(kind, new Map());
  }

  /** Whether everything must be listed before anything is compared. */
  get isDoubtful(): boolean {
    return this.#isDoubtful;
  }

  /** Call after a change that no event explains; everything is then listed again. */
  doubt(): void {
    this.#isDoubtful = true;
  }

  /** The object that the kernel has under a key. */
  get(kind: AnyKind, key: ObjectKey): unknown {
    const have = this.#tables.get(kind)?.get(key);
    if (have !== undefined) return have === MISSING ? undefined : have;
    const want = this.#wants.wantAt(kind, key);
    return want === undefined || this.#place === undefined ? undefined : kind.asWanted(want, this.#place);
  }

  /** Whether the object under a wanted key is missing or not as wanted; under another key, whether there is one. */
  differs(kind: AnyKind, key: ObjectKey): boolean {
    return this.#tables.get(kind)?.has(key) === true;
  }

  /** The keys for which `differs` is true. */
  differing(kind: AnyKind): Iterable<ObjectKey> {
    return this.#tables.get(kind)?.keys() ?? [];
  }

  /** The objects that the kernel has and that are not as wanted. */
  *others(kind: AnyKind): Iterable<[ObjectKey, unknown]> {
    for (const [key, have] of this.#tables.get(kind) ?? []) if (have !== MISSING) yield [key, have];
  }

  /** The same; the caller knows their type. */
  *otherObjects<Have>(kind: { presentKey(have: Have): ObjectKey }): Iterable<Have> {
    for (const [, have] of this.others(kind as AnyKind)) yield have as Have;
  }

  /** Must be called when an object becomes wanted under a key that had no wanted object. */
  nowWanted(kind: AnyKind, key: ObjectKey, want: unknown, table = this.#tables.get(kind)): void {
    const have = table?.get(key);
    if (have === undefined) table?.set(key, MISSING);
    else if (this.#isRight(kind, have, want)) table?.delete(key);
  }

  /** Must be called when the object under a key is no longer wanted. */
  noLongerWanted(kind: AnyKind, key: ObjectKey, want: unknown): void {
    const table = this.#tables.get(kind);
    const have = table?.get(key);
    if (have === MISSING) table?.delete(key);
    else if (have === undefined && this.#place !== undefined) table?.set(key, kind.asWanted(want, this.#place));
  }

  #isRight(kind: AnyKind, have: unknown, want: unknown): boolean {
    return this.#place !== undefined && kind.isRight(have, want, this.#place);
  }

  /** A number that changes whenever an object of this kind may have changed. */
  versionOf(kind: unknown): number {
    return this.#versions.get(kind as AnyKind) ?? 0;
  }

  #touch(kind: AnyKind): void {
    this.#versions.set(kind, this.versionOf(kind) + 1);
  }

  /** Whether the kernel has such objects. */
  supports(kind: unknown): boolean {
    return !this.#unsupported.has(kind as AnyKind);
  }

  /** Call with the present place. If it has changed (the device was made again, for instance), what was listed is outdated. */
  moveTo(place: Place): void {
    const before = this.#place;
    this.#place = place;
    if (before === undefined) return;
    if (!sameDevice(before.tunnel, place.tunnel) || !sameDevice(before.underlay, place.underlay)) this.doubt();
  }

  /** Lists all objects of the kinds given, with a pause for other work after each. Throws NetlinkError. */
  async list(netlink: Netlink, place: Place, kinds: readonly AnyKind[] = this.#kinds): Promise<void> {
    const isAll = kinds === this.#kinds;
    // Unread events from before the listing repeat what the lists contain; later ones are news. So neither does harm.
    if (isAll) this.#isDoubtful = false;
    try {
      for (const kind of kinds) {
        this.#fill(kind, netlink, place);
        await breathe();
      }
      if (isAll) this.#isFirst = false;
    } catch (error) {
      this.doubt();
      throw error;
    }
  }

  /** Updates the copy by an event. */
  hear(event: RtnetlinkEvent): void {
    const place = this.#place;
    if (place === undefined || this.#isDoubtful) return;
    if (mayTakeAlong(event, place)) {
      this.doubt();
      return;
    }
    // There can be two kinds of routes: a node that moves to WireGuard has its own beside vxlan's.
    for (const kind of this.#kinds) {
      if (kind.hear === undefined || kind.name !== event.kind) continue;
      if (!kind.hear(event, this.#tableOf(kind), place)) this.doubt();
    }
  }

  #fill(kind: AnyKind, netlink: Netlink, place: Place): void {
    const { found, right } = this.#read(kind, netlink, place);
    if (found === undefined) this.#unsupported.add(kind);
    else this.#unsupported.delete(kind);
    const table = new Map<ObjectKey, unknown>();
    for (const have of found ?? []) {
      const key = kind.presentKey(have);
      // A second object with the same key gets a key that nobody wants; the first one is compared with what is wanted.
      table.set(table.has(key) ? `${String(key)} ${table.size}` : key, have);
    }
    if (right.size < this.#wants.countOf(kind)) {
      for (const [key, want] of this.#wants.wants(kind)) if (!right.has(key)) this.nowWanted(kind, key, want, table);
    }
    this.#tables.set(kind, table);
    this.#touch(kind);
  }

  /** Lists a kind. `right` has the keys of objects that are as wanted and therefore were left out. */
  #read(
    kind: AnyKind,
    netlink: Netlink,
    place: Place,
  ): { found: readonly unknown[] | undefined; right: ReadonlySet<ObjectKey> } {
    const right = new Set<ObjectKey>();
    let isTwice = false;
    const found = kind.list(netlink, place, this.#isFirst, (have) => {
      const key = kind.presentKey(have);
      const want = this.#wants.wantAt(kind, key);
      if (want === undefined || !this.#isRight(kind, have, want)) return false;
      isTwice ||= right.has(key);
      right.add(key);
      return true;
    });
    if (!isTwice && (right.size === 0 || found?.some((have) => right.has(kind.presentKey(have))) !== true)) {
      return { found, right };
    }
    // Either two objects have one key, or the list was begun again because something changed meanwhile. Then all objects are needed.
    // If an object went meanwhile and none came twice, the kernel's event about it is read next.
    return { found: kind.list(netlink, place, this.#isFirst, () => false), right: new Set() };
  }

  #tableOf(kind: AnyKind): Table<unknown> {
    const table = this.#tables.get(kind) ?? new Map<ObjectKey, unknown>();
    return {
      get: (key) => this.get(kind, key),
      set: (key, have) => {
        const want = this.#wants.wantAt(kind, key);
        if (want !== undefined && this.#isRight(kind, have, want)) table.delete(key);
        else table.set(key, have);
        this.#touch(kind);
        this.#onTouched(kind, key);
      },
      delete: (key) => {
        const isWanted = this.#wants.has(kind, key);
        const have = table.get(key);
        if (have === MISSING || (have === undefined && !isWanted)) return;
        if (isWanted) table.set(key, MISSING);
        else table.delete(key);
        this.#touch(kind);
        this.#onTouched(kind, key);
        if (this.#isStoodOn(kind, key)) this.doubt();
      },
    };
  }

  /** Whether other objects depend on this one. The kernel removes them together with it, without an event for each. */
  #isStoodOn(kind: AnyKind, key: ObjectKey): boolean {
    for (const [{ standsOn }, table] of this.#tables) {
      if (standsOn?.kind !== kind.name) continue;
      // An object that is as wanted depends only on one that is wanted, too.
      if (this.#wants.has(kind, key)) return true;
      for (const have of table.values()) if (have !== MISSING && standsOn.key(have) === key) return true;
    }
    return false;
  }
}

function sameDevice(a: Device | undefined, b: Device | undefined): boolean {
  return a?.index === b?.index;
}

/**
 * When a device goes down or loses an address, the kernel removes routes and nexthops without an event for each. It adds none silently:
 * a new device gets its IPv6 address two seconds after its peers, and all of them would be listed again for it.
 */
function mayTakeAlong(event: RtnetlinkEvent, { tunnel }: Place): boolean {
  if (event.kind !== 'link' && !(event.kind === 'address' && event.removed)) return false;
  return event.object.index === tunnel?.index;
}
