// What the agent tells about itself to `flanneld status`: the JSON both of them share.

import type { DriftEntry, DriftObject } from '../drift-ledger.ts';
import type { Check } from '../http-server.ts';
import type { PeerProblem } from '../peer-problem.ts';

/** One family's overlay. */
export interface OverlayStatus {
  /** Its own device; absent where packets need none. */
  readonly device?: string;
  readonly family: 4 | 6;
  readonly network: string;
  /** This node's. */
  readonly subnet: string;
  /** Of the device, where it is a VTEP. */
  readonly mac?: string;
  readonly vni?: number;
  /** UDP port, where there is a tunnel. */
  readonly port?: number;
  /** Of pods. */
  readonly mtu: number;
  /** The external interface. */
  readonly iface: string;
  /** Its address: what tunnel packets are sent from. */
  readonly local: string;
  /** What other nodes send to. */
  readonly publicIp: string;
  readonly peers: {
    readonly wanted: number;
    readonly programmed: number;
    readonly failing: number;
    /** Of the programmed ones those reached without a tunnel, where there can be any. */
    readonly direct?: number;
  };
  /** Peers that fail or are in doubt, and leases that cannot be used. */
  readonly problems: readonly PeerProblem[];
}

/** The packet filter that holds the agent's rules. */
export type Flavour = 'nftables' | 'iptables';

/** What is done with packets to the tunnel's port from who is no peer. */
export type GuardMode = 'off' | 'count' | 'enforce';

/** Somebody who sent to the tunnel's port and is no peer. */
export interface Stranger {
  readonly address: string;
  readonly packets: number;
  /** ISO 8601, UTC: its first packet, or the first of the last day. */
  readonly since: string;
  /** The peer whose VTEP's MAC its packets carry, and the address that one publishes. */
  readonly peer?: { readonly key: string; readonly publishes: string };
}

export interface GuardStatus {
  readonly mode: GuardMode;
  /** Why it is off although it was asked for. */
  readonly problem?: string;
  /** Since the table was written. */
  readonly packets: { readonly strangers: number; readonly pods: number; readonly refused: number };
  /** Of the last day. */
  readonly strangers: readonly Stranger[];
  /** As many as are kept: there may be more. */
  readonly isFull: boolean;
  /** ISO 8601, UTC: what was before is not known. */
  readonly watchedSince: string;
  /** Peers that `enforce` would cut off; undefined where that cannot be told. */
  readonly wouldCut?: readonly string[];
}

export interface FirewallStatus {
  readonly flavour: Flavour;
  /** Why this flavour. */
  readonly why: string;
  /** What holds the rules: `table ip weft`, `chain nat FLANNEL-POSTRTG (iptables-nft)`; empty before the first success. */
  readonly places: readonly string[];
  readonly guard?: GuardStatus;
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
  /** As /readyz?verbose has them. */
  readonly checks: readonly Check[];
  /** Empty while starting. */
  readonly overlays: readonly OverlayStatus[];
  /** Absent while starting. */
  readonly firewall?: FirewallStatus;
  readonly drift: {
    /** Since the start, by object. */
    readonly totals: Readonly<Partial<Record<DriftObject, number>>>;
    /** The newest, oldest first. */
    readonly entries: readonly DriftEntry[];
  };
}
