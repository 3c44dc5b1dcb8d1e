// A part's result as text for the terminal.

import { judgeRatioOf, judgeValue, type Verdict, verdictTable } from './limits.ts';
import type { PartResult } from './result.ts';
import { table } from './table.ts';

export function verdictsOf({ ratios, limits }: PartResult): Verdict[] {
  return [
    ...ratios.map(judgeRatioOf),
    ...limits.map(({ name, value, most, unit }) => judgeValue(name, value, most, unit)),
  ];
}

/** Tables, ratios and limits, then the notes a reader must know. */
export function describeResult(result: PartResult, quick: boolean): string {
  const verdicts = verdictsOf(result);
  return [
    ...result.tables.map(({ title, head, rows }) => `${title}\n${table(head, rows)}`),
    ...(verdicts.length > 0 ? [`ratio of medians (95 % interval)\n${verdictTable(verdicts, quick)}`] : []),
    ...result.notes.map((note) => `note: ${note}`),
    ...(result.failures.length > 0 ? [`FAILED\n${result.failures.join('\n')}`] : []),
  ].join('\n\n');
}
