// The findings as lines for a terminal, the worst first.

import type { Finding, Severity } from '../health/finding.ts';

const TITLES: readonly (readonly [Severity, string])[] = [
  ['error', 'errors: packets are lost, or pods cannot start'],
  ['warning', 'warnings: something may break later, or may be intended'],
  ['info', 'to know'],
];

export function findingsText(node: string, findings: readonly Finding[]): string {
  const counts = TITLES.map(([severity]) => count(findings, severity)).filter((text) => text !== '');
  const lines = [`${node}: ${counts.length === 0 ? 'nothing is wrong' : counts.join(', ')}`];
  for (const [severity, title] of TITLES) {
    const some = findings.filter((finding) => finding.severity === severity);
    if (some.length > 0) lines.push('', title, ...some.flatMap(findingLines));
  }
  return `${lines.join('\n')}\n`;
}

function count(findings: readonly Finding[], severity: Severity): string {
  const { length } = findings.filter((finding) => finding.severity === severity);
  if (length === 0) return '';
  return severity === 'info' ? `${length} for information` : `${length} ${severity}${length === 1 ? '' : 's'}`;
}

function findingLines({ id, peer, cause, evidence, fix }: Finding): string[] {
  const about = peer === undefined ? id : `${id} (${peer})`;
  return [`  ${about}: ${cause}`, `      seen: ${evidence}`, `      fix:  ${fix}`];
}
