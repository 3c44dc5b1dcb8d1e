// The interface of a backend. Its entry in the registry names its keys in net-conf.json. The backend says what this node's lease advertises, and describes an overlay for each family: the device
// (if any) and the objects each peer needs. Comparing, changing, retrying and reporting are the same for all backends.

import type { Clock } from '../../lib/clock-node.ts';
import type { Family, Ip, IpPrefix } from '../../lib/ip.ts';
import type { JsonPlace } from '../../lib/json-fields.ts';
import type { KeyDoc } from '../../lib/key-doc.ts';
import type { NetConf } from '../../lib/net-conf.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { Link } from '../../lib/rtnetlink/link.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Mirror } from '../dataplane/mirror.ts';
import type { Action, Device, Place } from '../dataplane/objects/kind.ts';
import type { Plan, PlannedPeer } from '../dataplane/plan.ts';
import type { PeerObjects } from '../dataplane/reconciler.ts';
import type { TunnelWay } from '../dataplane/tunnel-way.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import type { OverlayStatus } from '../health/status/report.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot } from '../subnet/manager.ts';

/** A backend as the registry lists it. `Conf` is the type of its parsed keys. */
export interface BackendType<Conf> {
  /** Its `Type` in net-conf.json, in lower case. */
  readonly type: string;
  /** Its keys besides `Type`, with the text for users. Any other key causes a warning. */
  readonly keys: Readonly<Record<string, KeyDoc>>;
  /** Reads the keys. Throws ConfigError that names the key, the value and what is allowed. */
  readKeys(place: JsonPlace, config: Pick<NetConf, 'enableIpv6'>): Conf;
  make(conf: Conf): Backend;
  /** Whether this backend, in Weft or flannel, makes this device; absent when it makes none that outlives the agent. */
  ownsDevice?(link: Link): boolean;
  /** Describes the tunnel of a family, for probes and for the doctor, which works without an agent; absent like `ownsDevice`. */
  tunnel?(conf: Conf, family: Family): TunnelWay;
  /** The names of the files that it keeps in the state folder. */
  readonly stateFiles?: readonly string[];
}

/** Any backend. It is given only configurations that it has read itself. */
export type AnyBackendType = BackendType<unknown>;

/** One family before there is a lease. */
export interface FamilyPlace {
  readonly family: Family;
  readonly network: IpPrefix;
  /** Name of the external interface. */
  readonly underlay: string;
  /** The address that packets are sent from. */
  readonly local: Ip;
  /** The address that peers send to. */
  readonly publicIp: Ip;
}

/** One family of a node that already has its lease. */
export interface FamilySettings extends FamilyPlace {
  /** The subnet of this node. */
  readonly subnet: IpPrefix;
}

/** What an overlay needs. */
export interface OverlayTools {
  readonly netlink: Netlink;
  readonly log: Logger;
  readonly clock: Clock;
  /** Records what somebody else has changed. */
  readonly drift?: DriftNotes;
}

export interface BackendTools extends OverlayTools {
  readonly sys: Syscalls;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly randomMac: () => Uint8Array;
  /** A folder for files that the backend needs after a restart of the agent; they are lost at a reboot. */
  readonly stateDir: string;
}

export interface BackendStart {
  readonly places: readonly FamilyPlace[];
  /** The cluster before this node has taken its lease. */
  readonly snapshot: LeaseSnapshot;
  readonly tools: BackendTools;
  readonly signal: AbortSignal;
}

/** The backend's part of the lease; the caller adds the addresses. */
export type Advertised = Pick<LeaseAttributes, 'backendType' | 'backendData' | 'backendV6Data' | 'moveData'>;

export interface Backend {
  /** Its name in net-conf.json. */
  readonly type: string;
  /** Whether the running overlays must end before `advertise` is called again, when this node's underlay address changes. */
  readonly endsFirst?: boolean;
  /** Throws ConfigError when a node with these addresses cannot use this backend. */
  checkPlaces?(places: readonly FamilyPlace[]): void;
  /** Rejects with ConfigError or OpError when this node cannot use this backend. */
  advertise(start: BackendStart): Promise<Advertised>;
  /** Makes a new key for this node, which the next call of `advertise` advertises; absent where nothing is encrypted. */
  rotateKey?(tools: BackendTools): Promise<void>;
  /** Describes one overlay for each family; changes nothing yet. */
  overlays(start: BackendStart, families: readonly FamilySettings[], lease: Lease): AnyOverlaySpec[];
}

/** Called for every change to the overlay's own device, with the state that was found. */
export type OnDeviceChange = (object: 'link' | 'address' | 'route', action: Action, was: string) => void;

/** What a plan depends on besides the leases. */
export interface PlanContext {
  /** The objects that the kernel has. */
  readonly mirror: Mirror;
  readonly place: Place;
  /** Whether addresses or routes of the node have changed since the last plan. */
  readonly isRerouted: boolean;
}

/** A way to other nodes' pods in one family. */
export interface OverlaySpec<P extends PlannedPeer> extends PeerObjects<P> {
  /** Its name in the log: `flannel.1`, `host-gw`. Overlays of one agent have different names. */
  readonly name: string;
  /** The name of its check in /readyz. */
  readonly check: string;
  readonly settings: FamilySettings;
  /** The MTU for pods over this external interface. Throws OpError when the interface's MTU is too small. */
  mtu(underlay: Link): number;
  /** A remark about the MTU for the operator; undefined when there is none. */
  mtuNote?(underlay: Link): string | undefined;
  /**
   * Makes or corrects the overlay's own device and its address, and removes routes of a former backend; returns undefined when the backend
   * has no device. Throws OpError that names the obstacle; then nothing is left half done.
   */
  ensureDevice?(underlay: Link, mtu: number, onChange: OnDeviceChange): Device | undefined;
  /** The peers in a snapshot of the leases. Returns the same object as long as nothing has changed. */
  plan(snapshot: LeaseSnapshot, context: PlanContext): Plan<P> | Promise<Plan<P>>;
  /** Whether packets' way to peers depends on the node's addresses and routes, so that a change of these needs a new plan. */
  readonly followsRoutes?: boolean;
  /** A second device besides the overlay's own, as last seen; absent where the backend has only one. */
  secondDevice?(): Device | undefined;
  /** After how many milliseconds a new plan is needed without an event; absent where events report every change. */
  planAgainMs?(): number;
  /** Whether a peer's pods are reached encrypted; absent where all or none are. */
  isEncrypted?(peer: P): boolean;
  /** Whether a peer is reached without a tunnel; absent where the backend has no such peers. */
  isDirect?(peer: P): boolean;
  /** The VNI, where there is one; names of tables contain it. */
  readonly vni?: number;
  /** The UDP port of the tunnel, if anybody can send to it; the guard then counts or drops packets from strangers. */
  readonly openPort?: { readonly port: number; readonly isVxlan: boolean };
  /** The tunnel, if peers' kernels answer at the first address of their subnets, so that probes can ask there. */
  readonly tunnel?: TunnelWay;
  /** The mode of the fast path in net-conf.json; absent where the backend has no fast path. */
  readonly fastPath?: 'off' | 'redirect' | 'full';
  /** Further facts for the status report. */
  facts?(): Pick<OverlayStatus, 'mac' | 'vni' | 'port' | 'publicKey'>;
  /** Ends what runs in this process; the kernel's objects stay. */
  close?(): Promise<void>;
}

/** An overlay with any type of peer. It is given only peers that it made itself. */
export type AnyOverlaySpec = OverlaySpec<PlannedPeer>;

/** A plan without peers. */
export const NOBODY: Plan<PlannedPeer> = { peers: new Map<string, PlannedPeer>(), problems: [], doubts: [] };
