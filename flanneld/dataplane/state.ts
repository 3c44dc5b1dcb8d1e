// The words of the data plane: what one VXLAN device should carry (a PlacedPeer each), what the kernel says it carries
// (Observed), and the changes between the two. Data only; desired.ts, diff.ts and observe.ts make it.

import type { Ip, IpPrefix } from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import type { FdbEntry } from '../../lib/rtnetlink/fdb.ts';
import type { Neigh } from '../../lib/rtnetlink/neigh.ts';
import type { Nexthop } from '../../lib/rtnetlink/nexthop.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';
import type { Peer } from './peer.ts';

/** Route and nexthop protocol number of everything the agent makes (rtnetlink(7) rtm_protocol); flannel uses boot (3). */
export const WEFT_PROTOCOL = 138;

/** A device by its index, and by its name for messages. */
export interface Device {
  readonly index: number;
  readonly name: string;
}

/** `owner` is the key of the lease an object is wanted for. */
export interface NeighState {
  readonly owner: string;
  readonly destination: Ip;
  readonly mac: Mac;
}

export interface FdbState {
  readonly owner: string;
  readonly mac: Mac;
  readonly destination: Ip;
}

export interface NexthopState {
  readonly owner: string;
  readonly id: number;
  readonly gateway: Ip;
}

export interface RouteState {
  readonly owner: string;
  readonly destination: IpPrefix;
  readonly gateway: Ip;
  /** Absent where the kernel has no nexthop objects: then a plain route via `gateway`, onlink. */
  readonly nexthopId?: number;
  /** The gateway is the peer's own address on the link of the external interface: no tunnel, and no need for onlink. */
  readonly direct?: true;
}

/**
 * A peer as the device should carry it: a neighbour (the subnet's base → MAC), an FDB entry (MAC → public IP), a nexthop
 * (via the base) and a route over it. One object, not one for each of the four: thousands of them are kept.
 */
export interface PlacedPeer extends Peer {
  /** Undefined where the kernel has no nexthop objects: then a plain route via the base, onlink. */
  readonly nexthopId: number | undefined;
  /** False for another subnet of a peer before it, which has the FDB entry of their MAC. */
  readonly hasFdb: boolean;
}

/** What the kernel says: neighbours, FDB entries and main-table routes of one device; nexthops of the whole namespace. */
export interface Observed {
  readonly device: Device;
  readonly neighs: readonly Neigh[];
  readonly fdb: readonly FdbEntry[];
  /** Undefined: this kernel has no nexthop objects (before 5.3). */
  readonly nexthops: readonly Nexthop[] | undefined;
  readonly routes: readonly Route[];
}

interface ChangeOf<K extends string, Wanted, Present> {
  readonly kind: K;
  /** Lease key this is for; of a removal, the name of the leftover. Failures are counted under it. */
  readonly owner: string;
  /** The object to make so; absent in a removal. */
  readonly want?: Wanted;
  /** The object as the kernel has it now; absent in an addition. */
  readonly have?: Present | undefined;
  /** A removal that breaks this lease's traffic as long as its own changes have not succeeded. */
  readonly after?: string;
}

export type Change =
  | ChangeOf<'neigh', NeighState, Neigh>
  | ChangeOf<'fdb', FdbState, FdbEntry>
  | ChangeOf<'nexthop', NexthopState, Nexthop>
  | ChangeOf<'route', RouteState, Route>;

/** Key of routes within one family: a number, since text would cost more than all of the comparing. */
export function routeKey(destination: IpPrefix): bigint {
  return (destination.ip.value << 8n) | BigInt(destination.length);
}
