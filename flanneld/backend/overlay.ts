// What every backend gives the agent: for each family an overlay, which is a way to other nodes' pods and what this
// node has of it. The agent runs it, watches the kernel for it and shows it; how packets travel is the backend's own.

import type { Clock } from '../../lib/clock-node.ts';
import type { Family, Ip, IpPrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import type { PeerCounts } from '../dataplane/reconciler.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { OverlayStatus } from '../health/status/report.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';

/** One family of a node that has its lease. */
export interface FamilySettings {
  readonly family: Family;
  readonly network: IpPrefix;
  /** This node's own. */
  readonly subnet: IpPrefix;
  /** Name of the external interface; it is looked up again at every run. */
  readonly underlay: string;
  /** Its address, what packets are sent from. */
  readonly local: Ip;
  /** What peers send to. */
  readonly publicIp: Ip;
}

/** What an overlay works with. */
export interface OverlayTools {
  readonly netlink: Netlink;
  readonly log: Logger;
  readonly clock: Clock;
  /** Where it is noted what somebody else had changed. */
  readonly drift?: DriftNotes;
}

/** How many peers there are, and of the programmed ones how many without a tunnel, where there can be any. */
export interface OverlayCounts extends PeerCounts {
  readonly direct?: number;
}

/** Reasons to run that say nothing about the kernel. */
const OTHER_REASONS: ReadonlySet<string> = new Set(['start', 'leases', 'firewall ready']);

/** Whether a run was woken because something in the kernel changed. */
export function kernelChanged(woken: ReadonlySet<string>): boolean {
  return [...woken].some((reason) => !OTHER_REASONS.has(reason));
}

/** Whether a run has a reason, and none is that something in the kernel changed. */
export function kernelQuiet(woken: ReadonlySet<string>): boolean {
  return woken.size > 0 && !kernelChanged(woken);
}

export interface Overlay {
  readonly family: Family;
  readonly network: IpPrefix;
  readonly subnet: IpPrefix;
  /** Name of the external interface. */
  readonly underlay: string;
  /** `flannel.1`, `host-gw`: by what the log names it; no two of one agent have the same. */
  readonly name: string;
  /** What /readyz calls it when it is right. */
  readonly check: string;
  /** By what the firewall's tables are named; 1 where there is no VNI. */
  readonly vni: number;
  /** MTU for pods; 0 before it is known. */
  readonly mtuBytes: number;
  /** Leases that are or should be peers. */
  readonly peerCount: number;
  /** Index of its own device; undefined before there is one, or without one. */
  readonly deviceIndex: number | undefined;
  /** Index of the external interface where its addresses and the node's routes decide how packets travel. */
  readonly underlayIndex: number | undefined;
  /** Makes right what is there before peers are: device and address. Throws OpError saying what is in the way. */
  ensureDevice(): void;
  /**
   * Makes everything right for a snapshot of the leases; `woken` has the reasons to look, none when it is only time to.
   * Resolves to the milliseconds after which it wants to run again, undefined when nothing is
   * pending. Rejects with what stands in the way.
   */
  run(snapshot: LeaseSnapshot, woken: ReadonlySet<string>): Promise<number | undefined>;
  /** Whether a kernel event only tells of what the overlay has just done itself. Throws MalformedReply. */
  isEcho?(message: MessageReader): boolean;
  peerProblems(): PeerProblem[];
  /** What an operator should know of the overlay itself, a line each, by what it is about. */
  notes?(): readonly { readonly about: string; readonly problem: string }[];
  status(): OverlayStatus;
  /** For the log: what this overlay is. */
  describe(): Readonly<Record<string, string | number>>;
  /** Ends what lives in this process; what the kernel carries stays. */
  close?(): Promise<void>;
}
