// A finding about the whole cluster. The page of the map shares this file.

import type { Severity } from '../../health/finding.ts';

/** Findings with one cause. */
export interface MergedFinding {
  readonly id: string;
  readonly severity: Severity;
  /** One sentence: who has the problem, and what it is. */
  readonly title: string;
  /** The nodes that found it, sorted. */
  readonly nodes: readonly string[];
  /** The peers with the problem, sorted; empty when the problem is on the nodes themselves. */
  readonly peers: readonly string[];
  /** The evidence of the first finding, as an example. */
  readonly evidence: string;
  /** What to do: each different fix once. */
  readonly fixes: readonly string[];
}
