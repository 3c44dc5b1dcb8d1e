// A copy of the kernel's objects that the agent keeps. It is filled by listing everything and then updated by the kernel's
// events. The agent does not enter its own changes: the kernel sends events for them, too, and only these count. When an event
// does not say enough, or events were lost, everything is listed again.

import { breathe } from '../../lib/clock-node.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { RtnetlinkEvent } from '../../lib/rtnetlink/event.ts';
import type { AnyKind, Device, ObjectKey, Place, Table } from './objects/kind.ts';

/** Called for every key whose object has changed. */
export type OnTouched = (kind: AnyKind, key: ObjectKey) => void;

export class Mirror {
  readonly #kinds: readonly AnyKind[];
  readonly #onTouched: OnTouched;
  readonly #tables = new Map<AnyKind, Map<ObjectKey, unknown>>();
  readonly #unsupported = new Set<AnyKind>();
  readonly #versions = new Map<AnyKind, number>();
  #place: Place | undefined;
  #isFirst = true;
  #isDoubtful = true;

  constructor(kinds: readonly AnyKind[], onTouched: OnTouched) {
    this.#kinds = kinds;
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

  get(kind: AnyKind, key: ObjectKey): unknown {
    return this.#tables.get(kind)?.get(key);
  }

  entries(kind: AnyKind): Iterable<[ObjectKey, unknown]> {
    return this.#tables.get(kind) ?? [];
  }

  /** The objects of one kind; the caller knows their type. */
  *objects<Have>(kind: { presentKey(have: Have): ObjectKey }): Iterable<Have> {
    const table = this.#tables.get(kind as AnyKind);
    if (table !== undefined) for (const have of table.values()) yield have as Have;
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

  /** Call with the present place. If it has changed (the device was made anew, for instance), what was listed is outdated. */
  moveTo(place: Place): void {
    const before = this.#place;
    this.#place = place;
    if (before === undefined) return;
    if (!sameDevice(before.tunnel, place.tunnel) || !sameDevice(before.underlay, place.underlay)) this.doubt();
  }

  /** Lists all objects of the kinds given, with a pause for other work after each. Throws NetlinkError. */
  async list(netlink: Netlink, place: Place, kinds: readonly AnyKind[] = this.#kinds): Promise<void> {
    const isAll = kinds === this.#kinds;
    // Unread events from before the listing repeat what the lists say; later ones say what is new. So neither does harm.
    if (isAll) this.#isDoubtful = false;
    try {
      for (const kind of kinds) {
        this.#fill(kind, kind.list(netlink, place, this.#isFirst));
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
    if (isAboutDevice(event, place)) {
      // When a device goes down or loses its address, the kernel removes routes and nexthops without an event for each.
      this.doubt();
      return;
    }
    const kind = this.#kinds.find(({ name, hear }) => hear !== undefined && name === event.kind);
    if (kind === undefined) return;
    if (!kind.hear?.(event, this.#tableOf(kind), place)) this.doubt();
  }

  #fill(kind: AnyKind, found: readonly unknown[] | undefined): void {
    if (found === undefined) this.#unsupported.add(kind);
    else this.#unsupported.delete(kind);
    const table = new Map<ObjectKey, unknown>();
    for (const have of found ?? []) {
      const key = kind.presentKey(have);
      // A second object with the same key gets a key that nobody wants; the first one is compared with what is wanted.
      table.set(table.has(key) ? `${String(key)} ${table.size}` : key, have);
    }
    this.#tables.set(kind, table);
    this.#touch(kind);
  }

  #tableOf(kind: AnyKind): Table<unknown> {
    const table = this.#tables.get(kind) ?? new Map<ObjectKey, unknown>();
    return {
      get: (key) => table.get(key),
      set: (key, have) => {
        table.set(key, have);
        this.#touch(kind);
        this.#onTouched(kind, key);
      },
      delete: (key) => {
        const have = table.get(key);
        if (have === undefined) return;
        table.delete(key);
        this.#touch(kind);
        this.#onTouched(kind, key);
        if (this.#isStoodOn(kind, key)) this.doubt();
      },
    };
  }

  /** Whether other objects depend on this one. The kernel removes them together with it, without an event for each. */
  #isStoodOn({ name }: AnyKind, key: ObjectKey): boolean {
    for (const [{ standsOn }, table] of this.#tables) {
      if (standsOn?.kind !== name) continue;
      for (const have of table.values()) if (standsOn.key(have) === key) return true;
    }
    return false;
  }
}

function sameDevice(a: Device | undefined, b: Device | undefined): boolean {
  return a?.index === b?.index;
}

function isAboutDevice(event: RtnetlinkEvent, { tunnel }: Place): boolean {
  return (event.kind === 'link' || event.kind === 'address') && event.object.index === tunnel?.index;
}
