// What the bench and the processes at the two ends of a measurement say to each other.

export type Protocol = 'udp' | 'icmp';

export interface SendSpec {
  readonly role: 'send';
  readonly protocol: Protocol;
  /** Address of the receiver's pod. */
  readonly to: string;
  /** Names the pod in its packets. */
  readonly run: number;
  /** How long after eth0 came up it goes on unanswered. */
  readonly giveUpMs: number;
}

interface ReceiveSpec {
  readonly role: 'receive';
  readonly protocol: Protocol;
}

export type EndSpec = SendSpec | ReceiveSpec;

/** The first packet of a run, CLOCK_MONOTONIC. */
export interface Arrival {
  readonly run: number;
  readonly sequence: number;
  readonly atNs: number;
}

/** Filled in while it sends. */
export interface SendResult {
  /** Packets the kernel took. */
  sent: number;
  refused: number;
  lastRefusal?: string;
  firstSentNs?: number;
  answeredNs?: number;
}

export interface EndLine {
  readonly ready?: true;
  readonly arrival?: Arrival;
  readonly result?: SendResult;
}
