// The agent's report about itself: the JSON it sends to `flanneld status`.

import type { DriftEntry, DriftObject } from '../drift-ledger.ts';
import type { Finding } from '../finding.ts';
import type { Check } from '../http-server.ts';
import type { PeerProblem } from '../peer-problem.ts';
import type { ProbesStatus } from './probes-status.ts';

/** One family's overlay. */
export interface OverlayStatus {
  /** The overlay's own device; absent for a backend without one. */
  readonly device?: string;
  readonly family: 4 | 6;
  readonly network: string;
  /** The subnet of this node. */
  readonly subnet: string;
  /** The device's MAC, where it is a VTEP. */
  readonly mac?: string;
  readonly vni?: number;
  /** The WireGuard key that peers know this node by. */
  readonly publicKey?: string;
  /** UDP port, where there is a tunnel. */
  readonly port?: number;
  /** The MTU of pods. */
  readonly mtu: number;
  /** The external interface. */
  readonly iface: string;
  /** Its address, from which tunnel packets are sent. */
  readonly local: string;
  /** The address to which other nodes send. */
  readonly publicIp: string;
  readonly peers: {
    readonly wanted: number;
    readonly programmed: number;
    readonly failing: number;
    /** How many of the programmed ones are reached without a tunnel; absent where the backend has no such peers. */
    readonly direct?: number;
    /** How many of the programmed ones are reached encrypted while the cluster moves to another backend; absent when it does not. */
    readonly encrypted?: number;
  };
  /** Peers that fail or may be wrong, and leases that cannot be used. */
  readonly problems: readonly PeerProblem[];
}

/** The packet filter that holds the agent's rules. */
export type Flavour = 'nftables' | 'iptables';

/** What happens to packets to the tunnel's port whose sender is not a peer. */
export type GuardMode = 'off' | 'count' | 'enforce';

/** Somebody who sent to the tunnel's port and is no peer. */
export interface Stranger {
  readonly address: string;
  readonly packets: number;
  /** Time of its first packet in the last day; ISO 8601, UTC. */
  readonly since: string;
  /** The peer whose VTEP MAC its packets carry, and the address that this peer publishes. */
  readonly peer?: { readonly key: string; readonly publishes: string };
}

export interface GuardStatus {
  readonly mode: GuardMode;
  /** Why the guard is off although it was asked for. */
  readonly problem?: string;
  /** Packets since the table was written. */
  readonly packets: { readonly strangers: number; readonly pods: number; readonly refused: number };
  /** The strangers of the last day. */
  readonly strangers: readonly Stranger[];
  /** Whether the list is as long as it can get, so that there may be more strangers. */
  readonly isFull: boolean;
  /** Since when strangers are recorded; ISO 8601, UTC. */
  readonly watchedSince: string;
  /** Peers that `enforce` would cut off; undefined when that is unknown. */
  readonly wouldCut?: readonly string[];
}

export interface FirewallStatus {
  readonly flavour: Flavour;
  /** Why this flavour was chosen. */
  readonly why: string;
  /** The tables and chains of the rules: `table ip weft`, `chain nat FLANNEL-POSTRTG (iptables-nft)`; empty before the first success. */
  readonly places: readonly string[];
  readonly guard?: GuardStatus;
}

/** The fast path of this node, where it is asked for. */
export interface FastPathStatus {
  readonly mode: 'redirect' | 'full';
  /** Whether packets are redirected now. */
  readonly on: boolean;
  /** Why not. */
  readonly reason?: string;
  /** Set when that is how a node starts: the tunnel or the bridge is not there yet. */
  readonly isWaiting?: true;
  /** Addresses of pods, and peers, that have it. */
  readonly pods: number;
  readonly peers: number;
  /** Packets (those that the kernel segments count once) since the programs were first loaded: redirected, by way. */
  readonly fast: Readonly<Record<string, number>>;
  /** Left to the kernel, by reason. */
  readonly slow: Readonly<Record<string, number>>;
  /** Addresses of pods that have it. */
  readonly addresses: readonly string[];
  /** Of each peer that has it, by its subnet; the busiest first. */
  readonly byPeer: readonly FastPathPeer[];
  /** Of `full`: why the programs neither encapsulate nor decapsulate now although they shall. */
  readonly notFull?: string;
  /** Of `full`: packets, counted above, too, that the tunnel's device had to encapsulate or decapsulate, by reason. */
  readonly byDevice?: Readonly<Record<string, number>>;
}

/** Packets of one peer since it is one. */
export interface FastPathPeer {
  readonly subnet: string;
  /** Redirected. */
  readonly sent: number;
  readonly received: number;
  /** Those that went another way, by reason. */
  readonly slow: Readonly<Record<string, number>>;
}

export interface StatusReport {
  readonly version: string;
  readonly node: string;
  readonly pid: number;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** Backend type of net-conf; empty while starting. */
  readonly backend: string;
  readonly ready: boolean;
  /** The lines of /readyz?verbose. */
  readonly checks: readonly Check[];
  /** Empty while starting. */
  readonly overlays: readonly OverlayStatus[];
  /** Absent while starting. */
  readonly firewall?: FirewallStatus;
  /** Absent where no fast path is asked for. */
  readonly fastPath?: FastPathStatus;
  /** What is wrong, as far as the agent itself sees it; `flanneld doctor` looks further. */
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
