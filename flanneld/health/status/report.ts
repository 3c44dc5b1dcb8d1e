// The agent's report about itself: the JSON it sends to `flanneld status`.

import type { DriftEntry, DriftObject } from '../drift-ledger.ts';
import type { Finding } from '../finding.ts';
import type { Check } from '../http-server.ts';
import type { PeerProblem } from '../peer-problem.ts';
import type { ProbesStatus } from './probes-status.ts';

/** The overlay in one family. */
export interface OverlayStatus {
  /** The overlay's own device; absent for a backend without one. */
  readonly device?: string;
  readonly family: 4 | 6;
  readonly network: string;
  /** The subnet of this node. */
  readonly subnet: string;
  /** The device's MAC, if it is a VTEP. */
  readonly mac?: string;
  readonly vni?: number;
  /** The WireGuard key by which peers know this node. */
  readonly publicKey?: string;
  /** The UDP port, if there is a tunnel. */
  readonly port?: number;
  /** The MTU of pods. */
  readonly mtu: number;
  /** The external interface. */
  readonly iface: string;
  /** The address that tunnel packets are sent from. */
  readonly local: string;
  /** The address that other nodes send to. */
  readonly publicIp: string;
  readonly peers: {
    readonly wanted: number;
    readonly programmed: number;
    readonly failing: number;
    /** How many of the programmed peers are reached without a tunnel; absent where the backend has no such peers. */
    readonly direct?: number;
    /** How many of the programmed peers are reached encrypted while the cluster moves to another backend; absent when it does not move. */
    readonly encrypted?: number;
  };
  /** Peers that fail or may be wrong, and leases that cannot be used. */
  readonly problems: readonly PeerProblem[];
}

/** The packet filter that holds the agent's rules. */
export type Flavour = 'nftables' | 'iptables';

/** What happens to packets to the tunnel's port whose sender is not a peer. */
export type GuardMode = 'off' | 'count' | 'enforce';

/** An address that is no peer's and has sent to the tunnel's port. */
export interface Stranger {
  readonly address: string;
  readonly packets: number;
  /** The time of its first packet in the last day; ISO 8601, UTC. */
  readonly since: string;
  /** The peer whose VTEP MAC its packets carry, and the address that this peer publishes. */
  readonly peer?: { readonly key: string; readonly publishes: string };
}

export interface GuardStatus {
  readonly mode: GuardMode;
  /** Why the guard is off although it was turned on. */
  readonly problem?: string;
  /** Packets since the table was written. */
  readonly packets: { readonly strangers: number; readonly pods: number; readonly refused: number };
  /** The strangers of the last day. */
  readonly strangers: readonly Stranger[];
  /** Whether the list has its largest size, so that there may be more strangers. */
  readonly isFull: boolean;
  /** Since when strangers are recorded; ISO 8601, UTC. */
  readonly watchedSince: string;
  /** Peers that `enforce` would cut off; undefined when that is unknown. */
  readonly wouldCut?: readonly string[];
}

export interface FirewallStatus {
  readonly flavour: Flavour;
  /** Why this packet filter was chosen. */
  readonly why: string;
  /** The tables and chains of the rules: `table ip weft`, `chain nat FLANNEL-POSTRTG (iptables-nft)`; empty before the first success. */
  readonly places: readonly string[];
  readonly guard?: GuardStatus;
}

/** The fast path of this node, if it is turned on. */
export interface FastPathStatus {
  readonly mode: 'redirect' | 'full';
  /** Whether packets are redirected now. */
  readonly on: boolean;
  /** Why they are not. */
  readonly reason?: string;
  /** Set while the node starts and the tunnel or the bridge does not exist yet. */
  readonly isWaiting?: true;
  /** How many addresses of pods, and how many peers, have the fast path. */
  readonly pods: number;
  readonly peers: number;
  /** Packets that were redirected since the programs were first loaded, by way. Packets that the kernel segments later count once. */
  readonly fast: Readonly<Record<string, number>>;
  /** Packets that were left to the kernel, by reason. */
  readonly slow: Readonly<Record<string, number>>;
  /** Addresses of pods that have the fast path. */
  readonly addresses: readonly string[];
  /** The peers that have the fast path, by their subnet; the busiest first. */
  readonly byPeer: readonly FastPathPeer[];
  /** In the mode `full`: why the programs do not encapsulate and decapsulate now. */
  readonly notFull?: string;
  /** In the mode `full`: packets that the tunnel's device had to encapsulate or decapsulate, by reason. They are counted above as well. */
  readonly byDevice?: Readonly<Record<string, number>>;
}

/** Packets of one peer since it was added. */
export interface FastPathPeer {
  readonly subnet: string;
  /** Packets that were redirected. */
  readonly sent: number;
  readonly received: number;
  /** Packets that went the classic way, by reason. */
  readonly slow: Readonly<Record<string, number>>;
}

export interface StatusReport {
  readonly version: string;
  readonly node: string;
  readonly pid: number;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** The backend type in net-conf.json; empty while starting. */
  readonly backend: string;
  readonly ready: boolean;
  /** The lines of /readyz?verbose. */
  readonly checks: readonly Check[];
  /** Empty while starting. */
  readonly overlays: readonly OverlayStatus[];
  /** Absent while starting. */
  readonly firewall?: FirewallStatus;
  /** Absent where the fast path is not turned on. */
  readonly fastPath?: FastPathStatus;
  /** Problems that the agent itself knows about; `flanneld doctor` finds more. */
  readonly findings: readonly Finding[];
  /** Absent while starting, with `--probes=off`, and for backends whose peers are not probed. */
  readonly probes?: ProbesStatus;
  readonly drift: {
    /** Repairs since the start, by kind of object. */
    readonly totals: Readonly<Partial<Record<DriftObject, number>>>;
    /** The newest repairs, oldest first. */
    readonly entries: readonly DriftEntry[];
  };
}
