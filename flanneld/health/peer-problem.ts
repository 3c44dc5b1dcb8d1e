// What is told of one peer when something is wrong with it; `/readyz?verbose`, `status` and the metrics show it.

/** A lease that could not be read or programmed: it is left out, and never delays the others. */
export interface PeerProblem {
  /** The file, node or etcd key that is at fault. */
  readonly key: string;
  readonly reason: string;
}
