// What the catalog says about each finding.

import type { Severity } from '../health/finding.ts';

export interface CatalogEntry {
  /** The usual severity. A finding may have another one when the facts say more. */
  readonly severity: Severity;
  /** What a user of the cluster notices. */
  readonly symptom: string;
  readonly meaning: string;
  readonly fix: string;
}
