// What a run prints: a line for each failure, then how many ran, passed, failed and were skipped, and why.

import type { CaseReport } from './run-cases.ts';

export function failureLine(report: CaseReport): string {
  return `FAIL ${report.id} (${report.plugin}) ${report.title}: ${report.reason ?? ''}`;
}

/** The last lines of the output. The very last one has the numbers. */
export function summary(reports: readonly CaseReport[]): string[] {
  const count = (outcome: CaseReport['outcome']): number => reports.filter((one) => one.outcome === outcome).length;
  const skipped = new Map<string, string[]>();
  for (const { id, outcome, reason = '' } of reports) {
    if (outcome === 'skipped') skipped.set(reason, [...(skipped.get(reason) ?? []), id]);
  }
  const run = reports.length - count('skipped');
  return [
    ...[...skipped].map(([reason, ids]) => `skipped ${ids.length}: ${reason} (${ids.join(' ')})`),
    `${run} run, ${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`,
  ];
}
