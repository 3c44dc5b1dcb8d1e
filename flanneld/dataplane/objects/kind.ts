// What the data plane must know of one kind of object that it keeps: its key, whose it is, when two are the same, how it
// is listed, made and removed, and how what the kernel tells of it is read. One kind is one file of this folder; a backend
// may bring kinds of its own.

import type { Family, IpPrefix } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import type { NetlinkRequest } from '../../../lib/netlink/request.ts';
import type { RtnetlinkEvent } from '../../../lib/rtnetlink/event.ts';

/** Route and nexthop protocol number of everything the agent makes (rtnetlink(7) rtm_protocol); flannel uses boot (3). */
export const WEFT_PROTOCOL = 138;

/** A device by its index, and by its name for messages. */
export interface Device {
  readonly index: number;
  readonly name: string;
}

/** Where an overlay's objects are. */
export interface Place {
  readonly family: Family;
  readonly network: IpPrefix;
  /** The overlay's own device, on which everything is the agent's; undefined: it has none. */
  readonly tunnel: Device | undefined;
  /** The external interface, on which only what carries the agent's protocol number is its own. */
  readonly underlay: Device;
}

/** Identifies one object among those of its kind: what is wanted and what is there in its place have the same key. */
export type ObjectKey = string | number | bigint;

/** Something to be done to an object, in words and as an operator would type it. */
export interface Action {
  describe(): string;
  command?(): string;
}

export interface Refusal {
  readonly action: Action;
  /** Of the kernel; absent where somebody else refused. */
  readonly errno?: number;
  readonly text: string;
  /** It is under way and has not failed: to be asked about again after so many milliseconds. */
  readonly pendingMs?: number;
}

export interface ObjectKind<Want, Have, Do extends Action = NetlinkRequest> {
  /** `neigh`, `route`: for messages, noted drift and metrics. */
  readonly name: string;
  wantedKey(want: Want): ObjectKey;
  presentKey(have: Have): ObjectKey;
  /** Whether what is there need not be changed. */
  isRight(have: Have, want: Want, place: Place): boolean;
  /** Whether what is there may be removed when nobody wants it. */
  isOurs(have: Have, place: Place): boolean;
  /**
   * All there are at a place; undefined: this kernel has no such objects. `isFirst`: nothing was listed before, so there
   * may be leftovers of another agent anywhere.
   */
  list(netlink: Netlink, place: Place, isFirst: boolean): readonly Have[] | undefined;
  /** Makes one; in the place of `have`, if there is one. */
  put(want: Want, have: Have | undefined, place: Place): Do;
  remove(have: Have, place: Place): Do;
  /** `fdb 02:…`: which one it is, for messages. */
  spell(have: Have): string;
  /** What was found instead of what is wanted: `had dst 10.0.0.3`. */
  difference(have: Have, want: Want): string;

  /**
   * For kinds of which the kernel tells changes: enters what an event says into `table`. False when it does not say
   * enough; then everything is listed again. Kinds without it are polled: listed at each audit and after each change.
   */
  hear?(event: RtnetlinkEvent, table: Table<Have>, place: Place): boolean;
  /** For kinds that are not rtnetlink's: does what is asked, and resolves to what was refused. */
  execute?(actions: readonly Do[]): Promise<readonly Refusal[]>;

  /**
   * Puts the addresses of what is wanted in the place of equal ones of its own: thousands are kept, and need be kept once.
   * Called only for one that is right.
   */
  share?(have: Have, want: Want): void;
  /** On which device it is or is to be, for messages; absent: the overlay's own. */
  deviceOf?(want: Want | undefined, have: Have | undefined, place: Place): string | undefined;
  /** What the kernel has in the place of one that somebody keeps changing, as a tool shows it. */
  whatIsThere?(netlink: Netlink, want: Want): string | undefined;
  /** The kind, and of each object the key, of what it disappears with, which the kernel tells of only once. */
  readonly standsOn?: { readonly kind: string; key(have: Have): ObjectKey | undefined };
  /** Whether what is there must be gone before anything else of the peer can be made. */
  mustGoFirst?(have: Have, want: Want, place: Place): boolean;
  /**
   * Who holds the places of `wants`, which look free: for kinds that take no place of others. `had`: the agent had that
   * place before, so whatever is there now has been put in the place of its own.
   */
  holders?(
    netlink: Netlink,
    wants: readonly Want[],
    place: Place,
    had: (want: Want) => boolean,
  ): ReadonlyMap<ObjectKey, Holder<Have>>;
}

export interface Holder<Have> {
  readonly have: Have;
  readonly mayReplace: boolean;
  /** As ip(8) shows it. */
  readonly spelled: string;
}

/** Any kind; it is only ever given what it made itself. */
export type AnyKind = ObjectKind<unknown, unknown, Action>;

/** One object that a peer needs. */
export interface WantedObject {
  readonly kind: AnyKind;
  readonly want: unknown;
}

export function wanted<Want, Have, Do extends Action>(kind: ObjectKind<Want, Have, Do>, want: Want): WantedObject {
  return { kind, want };
}

/** The objects of one kind that are there, by key. */
export interface Table<Have> {
  get(key: ObjectKey): Have | undefined;
  set(key: ObjectKey, have: Have): void;
  delete(key: ObjectKey): void;
}
