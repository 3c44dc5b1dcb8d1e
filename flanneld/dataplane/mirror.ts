// What the kernel has, as far as the agent keeps it: filled by listing everything, then kept true by the kernel's events.
// An own change is not entered here: the kernel tells of it like of any other, and what it says is what counts. Whenever
// an event leaves a doubt, or events were lost, everything is listed again.

import { breathe } from '../../lib/clock-node.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { RtnetlinkEvent } from '../../lib/rtnetlink/event.ts';
import type { AnyKind, Device, ObjectKey, Place, Table } from './objects/kind.ts';

/** Told of every key whose object has changed. */
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

  /** Something happened that no event explains. */
  doubt(): void {
    this.#isDoubtful = true;
  }

  get(kind: AnyKind, key: ObjectKey): unknown {
    return this.#tables.get(kind)?.get(key);
  }

  entries(kind: AnyKind): Iterable<[ObjectKey, unknown]> {
    return this.#tables.get(kind) ?? [];
  }

  /** Objects of one kind, which the caller knows by its type. */
  *objects<Have>(kind: { presentKey(have: Have): ObjectKey }): Iterable<Have> {
    const table = this.#tables.get(kind as AnyKind);
    if (table !== undefined) for (const have of table.values()) yield have as Have;
  }

  /** Another number whenever something of a kind may be different. */
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

  /** What is kept was listed at another place: the device has been made anew, for example. */
  moveTo(place: Place): void {
    const before = this.#place;
    this.#place = place;
    if (before === undefined) return;
    if (!sameDevice(before.tunnel, place.tunnel) || !sameDevice(before.underlay, place.underlay)) this.doubt();
  }

  /** Lists all objects of the kinds given, with a pause for other work after each. Throws NetlinkError. */
  async list(netlink: Netlink, place: Place, kinds: readonly AnyKind[] = this.#kinds): Promise<void> {
    const isAll = kinds === this.#kinds;
    // Events of before that are still unread say again what the lists say already; those of later say what is new.
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

  /** Enters what an event says. */
  hear(event: RtnetlinkEvent): void {
    const place = this.#place;
    if (place === undefined || this.#isDoubtful) return;
    if (isAboutDevice(event, place)) {
      // A device that goes down or loses its address takes routes and nexthops along, of which nothing is told.
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
      // A second one in the same place is nobody's: whoever wants the place has the first.
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

  /** What stands on an object disappears with it, and nothing tells of that. */
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
