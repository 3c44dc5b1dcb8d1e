// How programs are attached to devices, for the packets that arrive there: by tcx links, or before Linux 6.6 by filters of clsact. Either
// can be replaced without a packet in between that meets no program. They outlive the agent and go when their device goes.

export interface Attachments {
  /**
   * The devices that have a program of ours, and the ids of those programs. A program that somebody else has detached is missing. Throws
   * OpError.
   */
  list(): ReadonlyMap<number, number>;
  /** Attaches a program, or replaces the one that is there. Throws OpError. */
  attach(ifindex: number, program: number): void;
  /** Throws OpError. */
  detach(ifindex: number): void;
  /** The number of programs and filters of others at a device. Throws OpError. */
  foreign(ifindex: number): number;
  /** Closes the descriptors. Programs stay attached, except by links without a pin. */
  close(): void;
}
