// The interface of one kind of object: its key, when it belongs to us, when it is as wanted, how it is listed, made and removed, and how
// the kernel's events about it are read. Each kind is one file of this folder; a backend may have kinds of its own.

import type { Family, Ip, IpPrefix } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import type { NetlinkRequest } from '../../../lib/netlink/request.ts';
import type { RtnetlinkEvent } from '../../../lib/rtnetlink/event.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';

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
  /** The overlay's own device, on which everything belongs to the agent; undefined when the overlay has none. */
  readonly tunnel: Device | undefined;
  /** The external interface, on which only objects with the agent's protocol number belong to the agent. */
  readonly underlay: Device;
  /** Whether a device is a tunnel of any backend, in Weft or flannel; absent where there can be no other overlay. */
  readonly isTunnel?: (link: Link) => boolean;
}

/** Identifies one object of its kind. A wanted object and the present one in its place have the same key. */
export type ObjectKey = string | number | bigint;

/** An address as a key. Text or a bigint would take longer than the whole comparison. */
export function addressKey({ family, value }: Ip): number | bigint {
  return family === 4 ? Number(value) : value;
}

const LENGTHS = 256;

/** A prefix as a key. */
export function prefixKey({ ip, length }: IpPrefix): number | bigint {
  return ip.family === 4 ? Number(ip.value) * LENGTHS + length : (ip.value << 8n) | BigInt(length);
}

/** A change to an object, which can describe itself in words and as the command an operator would type. */
export interface Action {
  describe(): string;
  command?(): string;
}

export interface Refusal {
  readonly action: Action;
  /** The kernel's error number; absent when the refusal did not come from the kernel. */
  readonly errno?: number;
  readonly text: string;
  /** Set when the change is still under way and has not failed: when to ask again, in milliseconds. */
  readonly pendingMs?: number;
}

export interface ObjectKind<Want, Have, Do extends Action = NetlinkRequest> {
  /** The kind's name for messages, noted drift and metrics: `neigh`, `route`. */
  readonly name: string;
  wantedKey(want: Want): ObjectKey;
  presentKey(have: Have): ObjectKey;
  /** Whether the present object is as wanted. */
  isRight(have: Have, want: Want, place: Place): boolean;
  /** Whether the present object may be removed when it is not wanted. */
  isOurs(have: Have, place: Place): boolean;
  /**
   * All objects at a place; undefined when this kernel has none of this kind. At the first listing (`isFirst`) there may be
   * leftovers of an earlier agent anywhere. Objects for which `mayOmit` is true may be left out, one by one as they are read:
   * thousands are as wanted, and to have all of them in memory at once costs more time than to compare them.
   */
  list(netlink: Netlink, place: Place, isFirst: boolean, mayOmit: (have: Have) => boolean): readonly Have[] | undefined;
  /** The present object when it is as wanted. Thousands are, so the mirror does not store them. */
  asWanted(want: Want, place: Place): Have;
  /** The request that makes an object, or replaces `have` if that is given. */
  put(want: Want, have: Have | undefined, place: Place): Do;
  remove(have: Have, place: Place): Do;
  /** Names the object in messages: `fdb 02:…`. */
  spell(have: Have): string;
  /** Says how the present object differs from the wanted one: `had dst 10.0.0.3`. */
  difference(have: Have, want: Want): string;

  /**
   * Updates `table` by an event of the kernel. Returns false when the event does not say enough; then everything is listed
   * again. A kind without this function is polled: it is listed at each audit and after each change.
   */
  hear?(event: RtnetlinkEvent, table: Table<Have>, place: Place): boolean;
  /** For kinds that are not made by rtnetlink: runs the actions, and resolves to those that were refused. */
  execute?(actions: readonly Do[]): Promise<readonly Refusal[]>;

  /** The object's device, for messages; absent when it is the overlay's own. */
  deviceOf?(want: Want | undefined, have: Have | undefined, place: Place): string | undefined;
  /** What the kernel has instead of an object that somebody keeps changing, as a tool shows it. */
  whatIsThere?(netlink: Netlink, want: Want): string | undefined;
  /** The object on which this one depends: its kind, and its key. The kernel removes both with one event. */
  readonly standsOn?: { readonly kind: string; key(have: Have): ObjectKey | undefined };
  /** Whether the present object must be removed before the peer's other objects can be made. */
  mustGoFirst?(have: Have, want: Want, place: Place): boolean;
  /** Whether another program may have an object in this place that must not be replaced. Then `holders` is asked before the first one is made. */
  mayBeHeld?(want: Want): boolean;
  /**
   * Finds objects of other programs in the places of `wants`, which all may be held. `had` says that the agent's own object was there
   * before, so that somebody has replaced it.
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

/** Any kind. It is given only objects that it made itself. */
export type AnyKind = ObjectKind<unknown, unknown, Action>;

/** One object that a peer needs. */
export interface WantedObject {
  readonly kind: AnyKind;
  readonly want: unknown;
}

export function wanted<Want, Have, Do extends Action>(kind: ObjectKind<Want, Have, Do>, want: Want): WantedObject {
  return { kind, want };
}

/** The present objects of one kind, by key. */
export interface Table<Have> {
  get(key: ObjectKey): Have | undefined;
  set(key: ObjectKey, have: Have): void;
  delete(key: ObjectKey): void;
}
