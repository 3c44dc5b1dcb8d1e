// Facts about a node that several parts of the view use.

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
  /** It has the socket but did not answer in time. */
  | { readonly state: 'silent'; readonly pid?: number; readonly processState?: string }
  /** A process without a working status socket: it is starting, or could not open the socket. */
  | { readonly state: 'without socket'; readonly pid: number; readonly why: string }
  | { readonly state: 'absent'; readonly why: string };

/** A file that programs on this node read. */
export type FileFacts<T> =
  | { readonly state: 'missing' }
  | { readonly state: 'wrong'; readonly why: string }
  | { readonly state: 'right'; readonly value: T };

/** What matters about another node for packets to it. */
export interface PeerFacts {
  readonly key: string;
  readonly subnet: IpPrefix;
  readonly publicIp: Ip;
  /** The MAC of its VTEP; absent where there is no tunnel. */
  readonly mac?: Mac;
}

/** One family of this node's overlay. */
export interface FamilyFacts {
  readonly family: Family;
  readonly network: IpPrefix;
  /** This node's own subnet; undefined when nothing says it. */
  readonly subnet: IpPrefix | undefined;
  /** The address that this node's lease publishes. */
  readonly publicIp: Ip | undefined;
  readonly vtepMac: Mac | undefined;
  /** Undefined for a backend without a tunnel in the kernel. */
  readonly tunnel: TunnelFacts | undefined;
  /** The peers that the data plane wants; empty where the backend uses neither routes nor a tunnel. */
  readonly peers: readonly PeerFacts[];
  /** Leases that cannot be peers, and why, in the data plane's words. */
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
  /** Neighbours on the tunnels' devices. */
  readonly neighs: readonly Neigh[];
  readonly fdb: readonly FdbEntry[];
}

/** The interface to the other nodes. */
export interface UnderlayFacts {
  readonly name: string;
  readonly link: Link | undefined;
  /** Addresses that tunnel packets are or should be sent from. */
  readonly locals: readonly Ip[];
}

/** The bridge that has the pods' ports; `link` is undefined when it does not exist. */
export interface BridgeFacts {
  readonly name: string;
  readonly link: Link | undefined;
  readonly ports: readonly Link[];
}

/** The leases, and where they were read from. */
export interface LeaseFacts {
  readonly snapshot: LeaseSnapshot;
  readonly source: string;
}
