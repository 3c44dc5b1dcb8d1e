// The commands that only ask: `status` and `doctor`.

import { printableJson } from '../../lib/printable.ts';
import { findingsText } from './findings/findings-text.ts';
import { mergeFindings } from './findings/merge-findings.ts';
import { readFindings } from './findings/read-findings.ts';
import { readNodeReport } from './node-report.ts';
import { isAllReady, statusTable } from './status-table.ts';
import { askAgents, type Surroundings, theCluster } from './surroundings.ts';

/** Exit code 0 when all nodes answered and are ready. */
export async function statusCommand(around: Surroundings): Promise<number> {
  const { nodes } = await theCluster(around);
  const answers = await askAgents(around, nodes, ['status'], readNodeReport);
  around.print(around.options.json ? jsonText({ nodes: answers }) : statusTable(answers));
  return isAllReady(answers) ? 0 : 1;
}

/** Exit code 0 without errors, 1 with one, 2 when a node could not be asked and the others have no error. */
export async function doctorCommand(around: Surroundings): Promise<number> {
  const { nodes } = await theCluster(around);
  const answers = await askAgents(around, nodes, ['doctor'], readFindings);
  const merged = mergeFindings(answers.flatMap((answer) => ('value' in answer ? answer.value : [])));
  const unanswered = answers.flatMap((answer) => ('problem' in answer ? [answer] : []));
  around.print(around.options.json ? jsonText({ findings: merged, unanswered }) : findingsText(merged, answers));
  if (merged.some(({ severity }) => severity === 'error')) return 1;
  return unanswered.length === 0 ? 0 : 2;
}

/** JSON for standard output, with Maps as objects. */
export function jsonText(value: unknown): string {
  const plain = (_: string, each: unknown): unknown => (each instanceof Map ? Object.fromEntries(each) : each);
  return `${printableJson(JSON.stringify(value, plain, 2))}\n`;
}
