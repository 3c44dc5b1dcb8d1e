// A copy of the kernel's objects that the agent keeps. It is filled by listing everything and then updated by the kernel's
// events. The agent does not enter its own changes: the kernel sends events for them, too, and only these count. When an event
// does not say enough, or events were lost, everything is listed again.
//
// Only the differences from what is wanted are stored, so they are also the list of what the next run must change. Thousands of objects are
// as wanted, and of these the plan says what they are. When one of them is no longer wanted, it is stored as what it was.

import { breathe } from '../../lib/clock-node.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { RtnetlinkEvent } from '../../lib/rtnetlink/event.ts';
import type { AnyKind, Device, ObjectKey, Place, Table } from './objects/kind.ts';
import type { PlannedPeer } from './plan.ts';

/** A peer that needs objects. */
export interface Owner<P extends PlannedPeer = PlannedPeer> {
  readonly peer: P;
  /** The number of the last list in which the mirror saw one of them as wanted. */
  seenIn: number;
}

/** The wanted objects. */
export interface Wants<P extends PlannedPeer = PlannedPeer> {
  /** The keys of the wanted objects, each with the peer that needs the object. */
  ownersOf(kind: AnyKind): ReadonlyMap<ObjectKey, Owner<P>>;
  /** The object that an owner needs under one of its keys. */
  wantOf(owner: Owner<P>, kind: AnyKind, key: ObjectKey): unknown;
}

/** The wants of a mirror that only shows what the kernel has. */
export const nothingWanted: Wants = { ownersOf: () => new Map(), wantOf: () => undefined };

/** How the kernel's objects of one kind differ from the wanted ones. */
export interface Differences {
  /** The keys of wanted objects that the kernel does not have, each with the lease key of the peer that needs the object. */
  readonly missing: ReadonlyMap<ObjectKey, string>;
  /** The objects that the kernel has and that are not as wanted. */
  readonly others: ReadonlyMap<ObjectKey, unknown>;
}

/** The differences while they change. */
interface KindTable {
  readonly missing: Map<ObjectKey, string>;
  readonly others: Map<ObjectKey, unknown>;
}

/** Called for every key whose object has changed. */
export type OnTouched = (kind: AnyKind, key: ObjectKey) => void;

export class Mirror {
  readonly #kinds: readonly AnyKind[];
  readonly #wants: Wants;
  readonly #onTouched: OnTouched;
  readonly #tables = new Map<AnyKind, KindTable>();
  readonly #unsupported = new Set<AnyKind>();
  readonly #versions = new Map<AnyKind, number>();
  #lists = 0;
  #place: Place | undefined;
  #isFirst = true;
  #isDoubtful = true;

  constructor(kinds: readonly AnyKind[], wants: Wants, onTouched: OnTouched) {
    this.#kinds = kinds;
    this.#wants = wants;
    this.#onTouched = onTouched;
    for (const kind of kinds) this.#tables.set(kind, newTable());
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
    const { missing, others } = this.differences(kind);
    const have = others.get(key);
    if (have !== undefined || missing.has(key)) return have;
    const want = this.#wantAt(kind, key);
    return want === undefined || this.#place === undefined ? undefined : kind.asWanted(want, this.#place);
  }

  differences(kind: AnyKind): Differences {
    return this.#table(kind);
  }

  /** The objects that the kernel has and that are not as wanted, for a caller who knows their type. */
  otherObjects<Have>(kind: { presentKey(have: Have): ObjectKey }): Iterable<Have> {
    return this.differences(kind as AnyKind).others.values() as Iterable<Have>;
  }

  /** Must be called when an object becomes wanted, by the peer `owner`, under a key that had no wanted object. */
  nowWanted(kind: AnyKind, key: ObjectKey, want: unknown, owner: string): void {
    const { missing, others } = this.#table(kind);
    const have = others.get(key);
    if (have === undefined) missing.set(key, owner);
    else if (this.#isRight(kind, have, want)) others.delete(key);
  }

  /** Must be called when the object under a key is no longer wanted. */
  noLongerWanted(kind: AnyKind, key: ObjectKey, want: unknown): void {
    const { missing, others } = this.#table(kind);
    if (missing.delete(key) || others.has(key) || this.#place === undefined) return;
    others.set(key, kind.asWanted(want, this.#place));
  }

  #table(kind: AnyKind): KindTable {
    const table = this.#tables.get(kind);
    if (table === undefined) throw new Error(`the mirror has no objects of the kind ${kind.name}`);
    return table;
  }

  #wantAt(kind: AnyKind, key: ObjectKey): unknown {
    const owner = this.#wants.ownersOf(kind).get(key);
    return owner && this.#wants.wantOf(owner, kind, key);
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
      if (!kind.hear(event, this.#heardBy(kind), place)) this.doubt();
    }
  }

  #fill(kind: AnyKind, netlink: Netlink, place: Place): void {
    const others = this.#listOthers(kind, netlink, place);
    const all = others ?? kind.list(netlink, place, this.#isFirst, () => false);
    if (all === undefined) this.#unsupported.add(kind);
    else this.#unsupported.delete(kind);
    const table = tableOf(kind, all ?? []);
    if (others === undefined) this.#compare(kind, table, place);
    this.#tables.set(kind, table);
    this.#touch(kind);
  }

  /**
   * Lists a kind without the objects that are as wanted. Returns undefined unless each wanted object was seen exactly once: one is missing
   * or not as wanted, two have the same key, or the list was begun again because something changed meanwhile. (If an object went then and
   * none came twice, the kernel's event about it is read next.)
   */
  #listOthers(kind: AnyKind, netlink: Netlink, place: Place): readonly unknown[] | undefined {
    const owners = this.#wants.ownersOf(kind);
    const number = ++this.#lists;
    let seen = 0;
    let isTwice = false;
    const others = kind.list(netlink, place, this.#isFirst, (have) => {
      const key = kind.presentKey(have);
      const owner = owners.get(key);
      if (owner === undefined || !kind.isRight(have, this.#wants.wantOf(owner, kind, key), place)) return false;
      isTwice ||= owner.seenIn === number;
      owner.seenIn = number;
      seen++;
      return true;
    });
    const isExact = seen === owners.size && !isTwice;
    return isExact && others?.every((have) => !owners.has(kind.presentKey(have))) ? others : undefined;
  }

  /** Compares all objects of a kind, which are in `others`, with the wanted ones. */
  #compare(kind: AnyKind, { missing, others }: KindTable, place: Place): void {
    for (const [key, owner] of this.#wants.ownersOf(kind)) {
      const have = others.get(key);
      if (have === undefined) missing.set(key, owner.peer.key);
      else if (kind.isRight(have, this.#wants.wantOf(owner, kind, key), place)) others.delete(key);
    }
  }

  /** The objects of a kind as its function `hear` sees and changes them. */
  #heardBy(kind: AnyKind): Table<unknown> {
    const { missing, others } = this.#table(kind);
    return {
      get: (key) => this.get(kind, key),
      set: (key, have) => {
        const want = this.#wantAt(kind, key);
        missing.delete(key);
        if (want !== undefined && this.#isRight(kind, have, want)) others.delete(key);
        else others.set(key, have);
        this.#touch(kind);
        this.#onTouched(kind, key);
      },
      delete: (key) => {
        const owner = this.#wants.ownersOf(kind).get(key)?.peer.key;
        if (missing.has(key) || (owner === undefined && !others.has(key))) return;
        others.delete(key);
        if (owner !== undefined) missing.set(key, owner);
        this.#touch(kind);
        this.#onTouched(kind, key);
        if (this.#isStoodOn(kind, key)) this.doubt();
      },
    };
  }

  /** Whether other objects depend on this one. The kernel removes them together with it, without an event for each. */
  #isStoodOn(kind: AnyKind, key: ObjectKey): boolean {
    for (const [{ standsOn }, { others }] of this.#tables) {
      if (standsOn?.kind !== kind.name) continue;
      // An object that is as wanted depends only on one that is wanted, too.
      if (this.#wants.ownersOf(kind).has(key)) return true;
      for (const have of others.values()) if (standsOn.key(have) === key) return true;
    }
    return false;
  }
}

function newTable(): KindTable {
  return { missing: new Map(), others: new Map() };
}

/** A second object with the same key gets a key that nobody wants; the first one is compared with what is wanted. */
function tableOf(kind: AnyKind, all: readonly unknown[]): KindTable {
  const table = newTable();
  for (const have of all) {
    const key = kind.presentKey(have);
    table.others.set(table.others.has(key) ? `${String(key)} ${table.others.size}` : key, have);
  }
  return table;
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
