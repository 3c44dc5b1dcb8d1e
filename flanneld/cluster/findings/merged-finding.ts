// A finding of the whole cluster. The page of the map shares this file.

import type { Severity } from '../../health/finding.ts';

/** Findings with one cause. */
export interface MergedFinding {
  readonly id: string;
  readonly severity: Severity;
  /** One sentence: who, and what is wrong. */
  readonly title: string;
  /** Who found it, sorted. */
  readonly nodes: readonly string[];
  /** The peers it is about, sorted; empty when it is about the nodes themselves. */
  readonly peers: readonly string[];
  /** The evidence of the first finding, as an example. */
  readonly evidence: string;
  /** What to do: every different fix once. */
  readonly fixes: readonly string[];
}
