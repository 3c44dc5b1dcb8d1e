// The argument of the program that stands in for thousands of peers.

export interface CrowdSpec {
  /** The peers that it stands in for: the nodes `first` to `last` of bench/peers/overlay.ts. */
  readonly first: number;
  readonly last: number;
  /** The UDP port of all agents' probes. */
  readonly port: number;
}
