// What a cluster state offers to the agent: its configuration, a lease for this node, and everybody's leases as a
// whole (never as events: the agent compares the whole with the kernel). Implemented by directory, kube and etcd.

import type { Ip, IpPrefix } from '../../lib/ip.ts';
import type { JsonValue } from '../../lib/json.ts';
import type { NetConf } from '../../lib/net-conf.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { StoreTrouble } from '../health/store-troubles.ts';

/** What a node advertises for others to reach its subnet. */
export interface LeaseAttributes {
  readonly publicIp?: Ip;
  readonly publicIpv6?: Ip;
  /** `vxlan`, …; empty for flannel's udp, alloc and tencent-vpc. */
  readonly backendType: string;
  readonly backendData?: JsonValue;
  readonly backendV6Data?: JsonValue;
}

/** One node's lease: its subnet of each family (a network, host bits clear) and its attributes. */
export interface Lease extends LeaseAttributes {
  readonly subnet?: IpPrefix;
  readonly ipv6Subnet?: IpPrefix;
  /**
   * When the store got this lease, as text that sorts by time. It decides who keeps what two leases claim (precedence.ts),
   * so it is what the store itself says, never what the node says. Undefined: unknown, later than all others.
   */
  readonly created?: string;
  /** Other addresses its node has, where the store tells: packets may come from them. */
  readonly hostAddresses?: readonly Ip[];
}

/** The whole cluster at one moment, this node's own lease included. */
export interface LeaseSnapshot {
  /** By what names the lease where it is stored: file, node, etcd key. */
  readonly leases: ReadonlyMap<string, Lease>;
  readonly problems: readonly PeerProblem[];
  /** The key of this node's own lease, present or not, where the store knows it. */
  readonly ownKey?: string;
  /** What the administrator wants of this node's addresses now; undefined where the store does not say. */
  readonly nodeAddresses?: NodeAddresses;
}

/** What an administrator says in the cluster state of this node's addresses. */
export interface NodeAddresses {
  /** As `--public-ip` and `--public-ipv6` would: they choose the interface, too. */
  readonly publicIp?: Ip;
  readonly publicIpv6?: Ip;
  /** What peers are told instead of the address chosen. */
  readonly overwriteIp?: Ip;
  readonly overwriteIpv6?: Ip;
  /** What he wants and cannot have: a line each, with key, value and what is allowed. Absent: nothing. */
  readonly refused?: readonly string[];
}

export interface SubnetManager {
  /** The cluster's configuration; rejects with OpError when it cannot be read, with ConfigError when it is wrong. */
  networkConfig(signal: AbortSignal): Promise<NetConf>;
  /** Takes or renews this node's lease with these attributes; the subnet stays the same wherever it can. */
  acquire(attributes: LeaseAttributes, signal: AbortSignal): Promise<Lease>;
  /** Calls back with the whole state, first of all and then after every change; resolves when `signal` aborts. */
  watch(onSnapshot: (snapshot: LeaseSnapshot) => void, signal: AbortSignal): Promise<void>;
  /** Addresses the store holds for this node, to choose the interface by; before acquire. */
  nodeAddresses?(signal: AbortSignal): Promise<NodeAddresses>;
  /** Tells the cluster that this node forwards; returns at once, what is told is retried while `watch` runs. */
  announceReady?(): void;
  /** Tells whoever looks after this node (a Kubernetes Event): `reason` is a word, `message` a line. Never throws. */
  report?(reason: string, message: string): void;
  /** What the store cannot do just now, and since when; empty where all is well. */
  troubles?(): readonly StoreTrouble[];
  /** Gives this node's lease up; idempotent. */
  release?(signal: AbortSignal): Promise<void>;
}
