// Facts about a node that several readers of the view need.

import type { Family, Ip, IpPrefix } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import type { Address } from '../../../lib/rtnetlink/address.ts';
import type { FdbEntry } from '../../../lib/rtnetlink/fdb.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import type { Neigh } from '../../../lib/rtnetlink/neigh.ts';
import type { Route } from '../../../lib/rtnetlink/route.ts';
import type { TunnelWay } from '../../dataplane/tunnel-way.ts';
import type { PeerProblem } from '../../health/peer-problem.ts';
import type { StatusReport } from '../../health/status/report.ts';
import type { LeaseSnapshot } from '../../subnet/manager.ts';

/** The agent of this node. */
export type AgentFacts =
  | { readonly state: 'answers'; readonly report: StatusReport }
  /** It listens and has not answered in time. */
  | { readonly state: 'silent'; readonly pid?: number; readonly processState?: string }
  /** A process without a status socket that works: it is starting, or it could not open the socket. */
  | { readonly state: 'without socket'; readonly pid: number; readonly why: string }
  | { readonly state: 'absent'; readonly why: string };

/** A file that programs of this node read. */
export type FileFacts<T> =
  | { readonly state: 'missing' }
  | { readonly state: 'wrong'; readonly why: string }
  | { readonly state: 'right'; readonly value: T };

/** Another node as far as packets to it are concerned. */
export interface PeerFacts {
  readonly key: string;
  readonly subnet: IpPrefix;
  readonly publicIp: Ip;
  /** Of its VTEP; absent where there is no tunnel. */
  readonly mac?: Mac;
}

/** One family of this node's overlay. */
export interface FamilyFacts {
  readonly family: Family;
  readonly network: IpPrefix;
  /** This node's own; undefined when nothing says it. */
  readonly subnet: IpPrefix | undefined;
  /** What this node publishes, by its lease. */
  readonly publicIp: Ip | undefined;
  readonly vtepMac: Mac | undefined;
  /** Undefined with a backend that has none in the kernel. */
  readonly tunnel: TunnelFacts | undefined;
  /** The peers as the data plane wants them; empty where the backend reaches none by a route or a tunnel. */
  readonly peers: readonly PeerFacts[];
  /** Leases that cannot be peers, in the words of the data plane. */
  readonly problems: readonly PeerProblem[];
}

export interface TunnelFacts extends TunnelWay {
  /** Undefined when there is no device of that name. */
  readonly link: Link | undefined;
}

/** The kernel's objects. */
export interface KernelFacts {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly routes: readonly Route[];
  /** Of the tunnels' devices. */
  readonly neighs: readonly Neigh[];
  readonly fdb: readonly FdbEntry[];
}

/** The interface to the other nodes. */
export interface UnderlayFacts {
  readonly name: string;
  readonly link: Link | undefined;
  /** Addresses from which tunnel packets are or should be sent. */
  readonly locals: readonly Ip[];
}

/** The bridge of the pods' ports; the link is undefined when it does not exist. */
export interface BridgeFacts {
  readonly name: string;
  readonly link: Link | undefined;
  readonly ports: readonly Link[];
}

/** The leases, and where they were read. */
export interface LeaseFacts {
  readonly snapshot: LeaseSnapshot;
  readonly source: string;
}
