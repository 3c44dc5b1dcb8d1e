// Reports the results of the connectivity test, as findings and as text.

import { printable } from '../../../lib/printable.ts';
import type { Finding } from '../../health/finding.ts';
import { findingLines } from '../findings/findings-text.ts';
import type { MergedFinding } from '../findings/merged-finding.ts';
import { columns } from '../status-table.ts';
import type { Member, Part, Trial } from './connectivity-plan.ts';

/** The result of one trial. */
export interface Outcome extends Omit<Trial, 'check'> {
  readonly failure?: string;
}

const PARTS: Readonly<Record<Part, string>> = {
  pod: 'pod to pod',
  'full-size': 'packets of full size',
  service: 'pod to Service',
  node: 'pod to node and back',
  dns: 'names by cluster DNS',
};
const FIX = 'run kubectl weft doctor, which names the cause';

/** Parts that also fail when packets between pods do not pass. Then they are not reported, because they add nothing. */
const FOLLOWS: readonly Part[] = ['full-size', 'service'];

/** One finding for each cause, worded so that the findings can be merged. */
export function findingsOf(outcomes: readonly Outcome[]): Finding[] {
  const pairOf = ({ from, to }: Outcome): string => JSON.stringify([from, to]);
  const apart = new Set(outcomes.filter(({ part, failure }) => part === 'pod' && failure !== undefined).map(pairOf));
  return outcomes.flatMap((outcome) => {
    const { part, from, to, failure } = outcome;
    if (failure === undefined || (FOLLOWS.includes(part) && apart.has(pairOf(outcome)))) return [];
    const peer = part === 'dns' ? {} : { peer: to };
    return [
      {
        id: `connectivity-${part}`,
        severity: 'error',
        node: from,
        ...peer,
        cause: causeOf(outcome),
        evidence: failure,
        fix: FIX,
      },
    ];
  });
}

function causeOf({ part, from, to, where }: Outcome): string {
  if (from === to && part !== 'dns') return `${from} cannot reach itself: ${PARTS[part]}`;
  switch (part) {
    case 'pod':
      return `pods on ${from} cannot reach pods on ${to}`;
    case 'full-size':
      return `packets of full size do not arrive from pods on ${from} at pods on ${to}`;
    case 'service':
      return `pods on ${from} cannot reach a Service whose pod is on ${to}`;
    case 'node':
      return where === 'pod'
        ? `pods on ${from} cannot reach the node ${to}`
        : `from the host network of ${from}, pods on ${to} cannot be reached`;
    case 'dns':
      return `pods on ${from} cannot look up a Service's name`;
  }
}

/** The finding for a pod that did not start. */
export function notStarted({ member, why }: { readonly member: Member; readonly why: string }): Finding {
  const { name } = member.node;
  const fix = `kubectl describe node ${name}; kubectl weft doctor`;
  return {
    id: 'connectivity-no-pod',
    severity: 'error',
    node: name,
    cause: `no pod became ready on ${name}`,
    evidence: why,
    fix,
  };
}

export function connectivityText(
  members: readonly Member[],
  outcomes: readonly Outcome[],
  merged: readonly MergedFinding[],
): string {
  const parts = (Object.keys(PARTS) as Part[]).filter((part) => outcomes.some((outcome) => outcome.part === part));
  const rows = parts.map((part) =>
    partRow(
      part,
      outcomes.filter((outcome) => outcome.part === part),
    ),
  );
  const lines = [
    `nodes: ${members.map(({ node }) => node.name).join(', ')}`,
    '',
    ...columns([['', 'OK'], ...rows]),
    ...merged.flatMap((finding) => ['', ...findingLines(finding)]),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}

function partRow(part: Part, outcomes: readonly Outcome[]): string[] {
  const reached = outcomes.filter(({ failure }) => failure === undefined).length;
  return [PARTS[part], `${reached} of ${outcomes.length}`];
}
