// A finding before the name of the node is added, and the functions that complete it.

import { printable } from '../../lib/printable.ts';
import type { Finding, Severity } from '../health/finding.ts';
import { CATALOG, type FindingId } from './catalog.ts';

/** A finding of a check. Its severity is the catalog's unless it has one of its own. */
export interface Draft {
  readonly id: FindingId;
  readonly severity?: Severity;
  readonly peer?: string;
  readonly cause: string;
  readonly evidence: string;
  readonly fix: string;
}

/** The complete finding; each text becomes one printable line. */
export function finished(draft: Draft, node: string): Finding {
  const { id, severity, peer, cause, evidence, fix } = draft;
  return {
    id,
    severity: severity ?? CATALOG[id].severity,
    node,
    ...(peer !== undefined && { peer: printable(peer) }),
    cause: printable(cause),
    evidence: printable(evidence),
    fix: printable(fix),
  };
}

/** A fix that is a command for this node. Backquotes mark the command, so that people and scripts see where it ends. */
export function run(node: string, command: string, then = ''): string {
  return `on ${node}: \`${command}\`${then === '' ? '' : `; ${then}`}`;
}
