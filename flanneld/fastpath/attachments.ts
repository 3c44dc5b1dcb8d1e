// How programs are attached to what arrives at devices: by tcx links, or before Linux 6.6 by filters of clsact. Both are replaced for
// each packet as a whole, outlive the agent, and go with their device.

export interface Attachments {
  /** The devices that have one of ours, and the ids of their programs; one that somebody detached is forgotten. Throws OpError. */
  list(): ReadonlyMap<number, number>;
  /** Attaches a program, or puts it in the place of the one that is there. Throws OpError. */
  attach(ifindex: number, program: number): void;
  /** Throws OpError. */
  detach(ifindex: number): void;
  /** The number of programs and filters of others at a device. Throws OpError. */
  foreign(ifindex: number): number;
  /** Closes what is open; what is attached stays, links without a pin excepted. */
  close(): void;
}
