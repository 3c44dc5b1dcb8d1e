// What the catalog of findings says of each.

import type { Severity } from '../health/finding.ts';

export interface CatalogEntry {
  /** The usual severity; a finding may have another one, where the facts say more. */
  readonly severity: Severity;
  /** What a user of the cluster sees. */
  readonly symptom: string;
  readonly meaning: string;
  readonly fix: string;
}
