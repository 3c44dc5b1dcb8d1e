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
  /** Of the first of them, as an example. */
  readonly evidence: string;
  /** What to do: of each what is different, without repetition. */
  readonly fixes: readonly string[];
}
