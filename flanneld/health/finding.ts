// A finding: something that is wrong, in the form in which `doctor`, `status`, metrics and Events show it.

/**
 * How bad a finding is. `error`: packets are lost, or pods cannot start, now. `warning`: it will cause a failure, or may be intended.
 * `info`: worth knowing, nothing is wrong.
 */
export type Severity = 'error' | 'warning' | 'info';

/** One problem. All texts are single lines, with text from strangers escaped (`lib/printable.ts`). */
export interface Finding {
  /** The name of the problem, such as `tunnel-port-blocked`. Ids never change, because scripts and alerts use them. */
  readonly id: string;
  readonly severity: Severity;
  /** The node that found it. */
  readonly node: string;
  /** The peer that it is about, by the name in its lease. */
  readonly peer?: string;
  /** What is wrong, in one sentence. */
  readonly cause: string;
  /** What was observed, with the numbers, in the words of the tool that an operator would use. */
  readonly evidence: string;
  /** A command or a setting that solves the problem, and the node on which to use it. */
  readonly fix: string;
}
