// What a store offers the agent: the cluster's configuration, a lease for this node, and the leases of all nodes. It gives
// all leases at once and never events, because the agent compares the whole with the kernel. The directory, kube and etcd
// stores implement it.

import type { Ip, IpPrefix } from '../../lib/ip.ts';
import type { JsonValue } from '../../lib/json.ts';
import type { NetConf } from '../../lib/net-conf.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { StoreTrouble } from '../health/store-troubles.ts';

/** What a node advertises so that others can reach its subnet. */
export interface LeaseAttributes {
  readonly publicIp?: Ip;
  readonly publicIpv6?: Ip;
  /** `vxlan`, …; empty for flannel's backends udp, alloc and tencent-vpc. */
  readonly backendType: string;
  readonly backendData?: JsonValue;
  readonly backendV6Data?: JsonValue;
  /** What it will advertise when its cluster has moved to another backend (flanneld/backend/moving); absent when it does not move. */
  readonly moveData?: JsonValue;
}

/** One node's lease: its subnet of each family (a network, host bits clear) and its attributes. */
export interface Lease extends LeaseAttributes {
  readonly subnet?: IpPrefix;
  readonly ipv6Subnet?: IpPrefix;
  /**
   * When the store got this lease, as text that sorts by time. It decides which of two leases keeps what both claim
   * (precedence.ts), so it comes from the store itself and never from the node. Undefined means unknown: younger than all others.
   */
  readonly created?: string;
  /** Other addresses of its node, from which packets may come, where the store knows them. */
  readonly hostAddresses?: readonly Ip[];
}

/** The whole cluster at one moment, this node's own lease included. */
export interface LeaseSnapshot {
  /** The leases by the name they have in the store: file, node, or etcd key. */
  readonly leases: ReadonlyMap<string, Lease>;
  readonly problems: readonly PeerProblem[];
  /** The key of this node's own lease, whether or not it is there; absent where the store does not know it. */
  readonly ownKey?: string;
  /** The addresses the administrator sets for this node now; undefined where the store has none. */
  readonly nodeAddresses?: NodeAddresses;
}

/** The addresses that an administrator sets for this node in the cluster state. */
export interface NodeAddresses {
  /** They work like `--public-ip` and `--public-ipv6`: they also choose the interface. */
  readonly publicIp?: Ip;
  readonly publicIpv6?: Ip;
  /** They are published to peers instead of the chosen address. */
  readonly overwriteIp?: Ip;
  readonly overwriteIpv6?: Ip;
  /** Settings that were refused: one line each, with key, value and what is allowed. */
  readonly refused?: readonly string[];
}

/** The types of Events: a problem, or the end of one. */
export type ReportType = 'Warning' | 'Normal';

export interface SubnetManager {
  /** The cluster's configuration; rejects with OpError when it cannot be read, with ConfigError when it is wrong. */
  networkConfig(signal: AbortSignal): Promise<NetConf>;
  /** Takes or renews this node's lease with these attributes; the subnet stays the same wherever it can. */
  acquire(attributes: LeaseAttributes, signal: AbortSignal): Promise<Lease>;
  /** Calls back with the whole state at first and after every change; resolves when `signal` aborts. */
  watch(onSnapshot: (snapshot: LeaseSnapshot) => void, signal: AbortSignal): Promise<void>;
  /** The addresses the store has for this node. They are needed before `acquire`, to choose the interface. */
  nodeAddresses?(signal: AbortSignal): Promise<NodeAddresses>;
  /** Tells the cluster that this node forwards. Returns at once; the message is retried while `watch` runs. */
  announceReady?(): void;
  /** Tells the node's administrator of a problem, or of its end (a Kubernetes Event). `reason` is a word, `message` a line. Never throws. */
  report?(reason: string, message: string, type?: ReportType): void;
  /** What does not work in the store at the moment, and since when; empty when all is well. */
  troubles?(): readonly StoreTrouble[];
  /** Gives this node's lease up; harmless when it was given up before. */
  release?(signal: AbortSignal): Promise<void>;
}
