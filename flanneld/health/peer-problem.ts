// A problem of one peer; `/readyz?verbose`, `status` and the metrics show it.

/** A lease that could not be read or programmed. It is left out, and the others do not wait for it. */
export interface PeerProblem {
  /** The file, node or etcd key that is at fault. */
  readonly key: string;
  readonly reason: string;
}
