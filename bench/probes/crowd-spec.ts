// The argument of the program that stands in for thousands of peers.

export interface CrowdSpec {
  /** How many peers it stands in for: the nodes 1 to `count` of bench/peers/overlay.ts. */
  readonly count: number;
  /** The UDP port of all agents' probes. */
  readonly port: number;
}
