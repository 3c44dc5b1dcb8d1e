// What a backend says of itself: what this node's lease advertises, and for each family an overlay, that is its device if
// it has one and the objects a peer needs. Everything else (comparing, changing, retrying, showing) is the same for all.

import type { Clock } from '../../lib/clock-node.ts';
import type { Family, Ip, IpPrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { Link } from '../../lib/rtnetlink/link.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Mirror } from '../dataplane/mirror.ts';
import type { Action, Device, Place } from '../dataplane/objects/kind.ts';
import type { Plan, PlannedPeer } from '../dataplane/plan.ts';
import type { PeerObjects } from '../dataplane/reconciler.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import type { OverlayStatus } from '../health/status/report.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot } from '../subnet/manager.ts';

/** One family before there is a lease. */
export interface FamilyPlace {
  readonly family: Family;
  readonly network: IpPrefix;
  /** Name of the external interface. */
  readonly underlay: string;
  /** Its address, what packets are sent from. */
  readonly local: Ip;
  /** What peers send to. */
  readonly publicIp: Ip;
}

/** One family of a node that has its lease. */
export interface FamilySettings extends FamilyPlace {
  /** This node's own. */
  readonly subnet: IpPrefix;
}

/** What an overlay works with. */
export interface OverlayTools {
  readonly netlink: Netlink;
  readonly log: Logger;
  readonly clock: Clock;
  /** Where it is noted what somebody else had changed. */
  readonly drift?: DriftNotes;
}

export interface BackendTools extends OverlayTools {
  readonly sys: Syscalls;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly randomMac: () => Uint8Array;
  /** Where the backend may keep what it has to know after a restart, until the next boot. */
  readonly stateDir: string;
}

export interface BackendStart {
  readonly places: readonly FamilyPlace[];
  /** The cluster as it was before this node has its lease. */
  readonly snapshot: LeaseSnapshot;
  readonly tools: BackendTools;
  readonly signal: AbortSignal;
}

/** What the lease says of the backend; the addresses are added by whoever asks. */
export type Advertised = Pick<LeaseAttributes, 'backendType' | 'backendData' | 'backendV6Data'>;

export interface Backend {
  /** Its name in net-conf. */
  readonly type: string;
  /** When this node moves in the underlay: whether what runs must have ended before `advertise` is asked again. */
  readonly endsFirst?: boolean;
  /** Throws ConfigError when a node of these addresses cannot do it. */
  checkPlaces?(places: readonly FamilyPlace[]): void;
  /** Rejects with ConfigError or OpError when this node cannot do it. */
  advertise(start: BackendStart): Promise<Advertised>;
  /** One overlay a family; nothing is touched yet. */
  overlays(start: BackendStart, families: readonly FamilySettings[], lease: Lease): AnyOverlaySpec[];
}

/** Told of every change made to the overlay's own device or its address, and of what was found. */
export type OnDeviceChange = (object: 'link' | 'address' | 'route', action: Action, was: string) => void;

/** What a plan is made from, beside the leases. */
export interface PlanContext {
  /** What is there. */
  readonly mirror: Mirror;
  readonly place: Place;
  /** Whether addresses or routes of the node have changed since the last plan. */
  readonly isRerouted: boolean;
}

/** A way to other nodes' pods in one family. */
export interface OverlaySpec<P extends PlannedPeer> extends PeerObjects<P> {
  /** By what the log names it: `flannel.1`, `host-gw`; no two of one agent have the same. */
  readonly name: string;
  /** What /readyz calls it when it is right. */
  readonly check: string;
  readonly settings: FamilySettings;
  /** MTU for pods, over an external interface of that MTU. Throws OpError when it is too small. */
  mtu(underlay: Link): number;
  /** What an operator should know of that; undefined: nothing. */
  mtuNote?(underlay: Link): string | undefined;
  /**
   * Makes the overlay's own device and its address right; absent: it has none. Throws OpError saying who is in the way;
   * then nothing is left half done.
   */
  ensureDevice?(underlay: Link, mtu: number, onChange: OnDeviceChange): Device;
  /** The peers of a snapshot of the leases. The same value as long as nothing has changed. */
  plan(snapshot: LeaseSnapshot, context: PlanContext): Plan<P> | Promise<Plan<P>>;
  /** Whether the node's addresses and routes decide how packets to peers travel: then their changes make a new plan. */
  readonly followsRoutes?: boolean;
  /** Whether a peer is reached without a tunnel, where there can be any that is. */
  isDirect?(peer: P): boolean;
  /** What tables and the log call it by, where there is one. */
  readonly vni?: number;
  /** What only this kind of overlay has to show. */
  facts?(): Pick<OverlayStatus, 'mac' | 'vni' | 'port'>;
  /** Ends what lives in this process; what the kernel carries stays. */
  close?(): Promise<void>;
}

/** Of any peers; it is only ever given its own. */
export type AnyOverlaySpec = OverlaySpec<PlannedPeer>;

/** A plan without peers. */
export const NOBODY: Plan<PlannedPeer> = { peers: new Map<string, PlannedPeer>(), problems: [], doubts: [] };
