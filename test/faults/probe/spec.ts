// The messages between the owner of a flow and the process that runs the flow.

/** An end of a flow. */
export interface FlowEnd {
  /** The path of the end's network namespace as the owner sees it. */
  readonly netnsFromOutside: string;
  readonly ip: string;
}

export interface FlowOptions {
  /** Packets a second; the default is 1000. */
  readonly rateHz?: number;
  /** Bytes after the UDP header, at least 8; the default is 64. Packets are never fragmented, whatever the path MTU is. */
  readonly payloadBytes?: number;
  /**
   * Packets that arrive with another source address count as lost. This makes a wrong masquerade or a missing device address
   * visible.
   */
  readonly expectSource?: string;
  /** Uses a new source port for every packet, so that conntrack remembers no earlier decision about the flow. */
  readonly freshPorts?: boolean;
}

/** The argument of the flow's process. */
export interface FlowSpec extends FlowOptions {
  readonly from: FlowEnd;
  readonly to: FlowEnd;
}

/** The state of a flow so far. */
export interface FlowProgress {
  readonly sent: number;
  readonly received: number;
  /** How many of the newest packets have arrived in a row without a loss. */
  readonly inRow: number;
}

/** A series of lost packets. */
export interface Outage {
  /** When the first of them was due, in milliseconds after the flow's start. */
  readonly fromMs: number;
  /** The time until the first packet was due that arrived again, or until the flow ended. */
  readonly lastedMs: number;
  readonly lost: number;
}

export interface FlowResult {
  readonly durationMs: number;
  readonly sent: number;
  readonly received: number;
  /** Packets that were sent and not received. */
  readonly lost: number;
  /** `lost`, plus the packets that were due during an outage and that the probe was too late to send. */
  readonly lostAtMost: number;
  readonly longestLossMs: number;
  readonly outages: readonly Outage[];
  /**
   * The longest time for which the probe did not run. If it is above about 20 ms, the machine was the cause and not the network.
   */
  readonly ownGapMs: number;
  /** Packets that the probe was too late to send. */
  readonly unsent: number;
  /** How many of the lost packets arrived, but from another source than expected. */
  readonly wrongSource: number;
  /** How many of the lost packets were refused by the sender's own kernel. */
  readonly refused: number;
  readonly duplicates: number;
}

/** The letters that the owner writes to the process. The process answers each with a line. */
export const ASK_BEGIN = 'b';
export const ASK_PROGRESS = 'p';
export const ASK_STOP = 's';
