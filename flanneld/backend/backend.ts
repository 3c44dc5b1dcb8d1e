// A backend as the start of the agent sees it: what this node's lease is to advertise, and the overlays once it has one.

import type { Family, Ip, IpPrefix } from '../../lib/ip.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Lease, LeaseAttributes, LeaseSnapshot } from '../subnet/manager.ts';
import type { FamilySettings, Overlay, OverlayTools } from './overlay.ts';

/** One family before there is a lease. */
export interface FamilyPlace {
  readonly family: Family;
  readonly network: IpPrefix;
  readonly underlay: string;
  readonly local: Ip;
  readonly publicIp: Ip;
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
  /** One overlay a family; no device is touched yet. */
  overlays(start: BackendStart, families: readonly FamilySettings[], lease: Lease): Overlay[];
}
