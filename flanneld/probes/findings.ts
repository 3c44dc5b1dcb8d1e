// Turns the problems of all peers into findings, so that a common cause is reported once.

import type { Finding } from '../health/finding.ts';
import type { Problem } from './classify.ts';

/** A peer with its problem. */
export interface Affected {
  readonly peer: string;
  readonly problem: Problem;
}

/** Up to this many peers with one cause are listed one by one; more become one finding. */
const LISTED = 8;
/** How many names a finding about many peers contains. */
const NAMED = 5;

/** `probed`: how many targets have a result. */
export function findingsOf(node: string, affected: readonly Affected[], probed: number): Finding[] {
  const byId = new Map<string, Affected[]>();
  for (const one of affected) {
    const known = byId.get(one.problem.id);
    if (known === undefined) byId.set(one.problem.id, [one]);
    else if (!known.some(({ peer }) => peer === one.peer)) known.push(one);
  }
  const findings = [...byId.values()].flatMap((all) => (isOne(all) ? [merged(node, all, probed)] : each(node, all)));
  const rank = { error: 0, warning: 1, info: 2 };
  return findings.sort((a, b) => rank[a.severity] - rank[b.severity]);
}

/** A cause on this node is one finding, however many peers it concerns. */
function isOne(all: readonly Affected[]): boolean {
  return all.length > LISTED || all.some(({ problem }) => problem.isLocal === true);
}

function each(node: string, all: readonly Affected[]): Finding[] {
  return all.map(({ peer, problem }) => ({ ...plain(node, problem), peer }));
}

function merged(node: string, all: readonly Affected[], probed: number): Finding {
  const [first] = all;
  const names = all.slice(0, NAMED).map(({ peer }) => peer);
  const more = all.length > NAMED ? ` and ${all.length - NAMED} more` : '';
  const problem = first?.problem as Problem;
  const finding = plain(node, problem);
  const evidence = `${finding.evidence}; ${all.length} of ${probed} peers: ${names.join(', ')}${more}`;
  if (problem.isLocal === true) return { ...finding, evidence };
  const where =
    all.length === probed ? 'all peers are concerned, so look at this node first' : `${all.length} of ${probed} peers`;
  return { ...finding, cause: `${finding.cause}; the same with ${where}`, evidence };
}

function plain(node: string, { id, severity, cause, evidence, fix }: Problem): Finding {
  return { id, severity, node, cause, evidence, fix };
}
