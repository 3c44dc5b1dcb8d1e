// What the owner of a flow and the process that runs it say to each other.

/** Where a flow begins or ends. */
export interface FlowEnd {
  /** Path of its network namespace as the owner sees it. */
  readonly netnsFromOutside: string;
  readonly ip: string;
}

export interface FlowOptions {
  /** Packets a second; 1000 when absent. */
  readonly rateHz?: number;
  /** Bytes after the UDP header, at least 8; 64 when absent. Never fragmented, whatever a path MTU says. */
  readonly payloadBytes?: number;
  /** Packets that arrive with another source address count as lost: what a masquerade or a device address is for. */
  readonly expectSource?: string;
  /** A new source port for every packet, so that the kernel remembers no earlier decision about the flow. */
  readonly freshPorts?: boolean;
}

/** The argument of the flow's process. */
export interface FlowSpec extends FlowOptions {
  readonly from: FlowEnd;
  readonly to: FlowEnd;
}

/** A flow so far. */
export interface FlowProgress {
  readonly sent: number;
  readonly received: number;
  /** How many of the newest packets arrived one after the other without a loss between them. */
  readonly inRow: number;
}

/** Packets lost one after the other. */
export interface Outage {
  /** Milliseconds after the flow's start at which the first of them was due. */
  readonly fromMs: number;
  /** Until the first was due that arrived again, or the flow ended. */
  readonly lastedMs: number;
  readonly lost: number;
}

export interface FlowResult {
  readonly durationMs: number;
  readonly sent: number;
  readonly received: number;
  /** Sent and not received. */
  readonly lost: number;
  /** `lost`, and packets that were due during an outage but that the probe itself was too late to send. */
  readonly lostAtMost: number;
  readonly longestLossMs: number;
  readonly outages: readonly Outage[];
  /** Longest time the probe did not get to look: above some 20 ms the machine, not the network, was the cause. */
  readonly ownGapMs: number;
  /** Packets the probe was too late to send. */
  readonly unsent: number;
  /** Of the lost: arrived, but from another source than expected. */
  readonly wrongSource: number;
  /** Of the lost: the sender's own kernel refused them. */
  readonly refused: number;
  readonly duplicates: number;
}

/** What the owner writes to the process, a letter each; each is answered with a line. */
export const ASK_BEGIN = 'b';
export const ASK_PROGRESS = 'p';
export const ASK_STOP = 's';
