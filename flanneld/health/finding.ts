// A finding: something that is wrong, in the form in which `doctor`, `status`, metrics and Events show it.

/**
 * How bad a finding is. `error`: packets are lost, or pods cannot start, now. `warning`: it will break, or it may be meant so.
 * `info`: worth knowing, nothing is wrong.
 */
export type Severity = 'error' | 'warning' | 'info';

/** One thing that is wrong. All texts are one line, and text of strangers in them is escaped (`lib/printable.ts`). */
export interface Finding {
  /** The name of the problem, such as `tunnel-port-blocked`. Ids are stable, because scripts and alerts use them. */
  readonly id: string;
  readonly severity: Severity;
  /** The node that looked. */
  readonly node: string;
  /** The peer that it is about, by the name in its lease. */
  readonly peer?: string;
  /** What is wrong, in one sentence. */
  readonly cause: string;
  /** What was observed, with the numbers, in the words of the tool an operator would use. */
  readonly evidence: string;
  /** A command or a setting that ends it, with the node it belongs to. */
  readonly fix: string;
}
