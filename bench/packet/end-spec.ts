// The messages between the bench and the processes at the two ends of a measurement.

export type Protocol = 'udp' | 'icmp';

export interface SendSpec {
  readonly role: 'send';
  readonly protocol: Protocol;
  /** The address of the receiver's pod. */
  readonly to: string;
  /** The number that identifies the pod in its packets. */
  readonly run: number;
  /** How long it goes on sending without an answer after eth0 came up. */
  readonly giveUpMs: number;
}

interface ReceiveSpec {
  readonly role: 'receive';
  readonly protocol: Protocol;
}

export type EndSpec = SendSpec | ReceiveSpec;

/** When the first packet of a run arrived, by CLOCK_MONOTONIC. */
export interface Arrival {
  readonly run: number;
  readonly sequence: number;
  readonly atNs: number;
}

/** What happened to the sender's packets. It is filled in while the sender runs. */
export interface SendResult {
  /** Packets that the kernel accepted. */
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
