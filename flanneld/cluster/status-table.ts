// `kubectl weft status`: one line for each node, and below them the problems.

import { printable } from '../../lib/printable.ts';
import type { Answer } from './ask/bounded.ts';
import type { GuardReport, NodeReport } from './node-report.ts';

/** How many problems of one node are shown; `--json` has all. */
const SHOWN = 3;
const HEAD = ['NODE', 'VERSION', 'READY', 'PEERS', 'GUARD', 'PROBES', 'DRIFT'];

export function statusTable(answers: readonly Answer<NodeReport>[]): string {
  const rows = answers.map((answer) => ('value' in answer ? rowOf(answer.node, answer.value) : silentRow(answer.node)));
  const problems = answers.flatMap((answer) =>
    'value' in answer ? problemsOf(answer.node, answer.value) : [`${answer.node}: ${answer.problem}`],
  );
  const lines = [
    ...columns([HEAD, ...rows]),
    ...(problems.length === 0 ? [] : ['', ...problems]),
    '',
    verdict(answers),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}

/** Whether every node answered and is ready. */
export function isAllReady(answers: readonly Answer<NodeReport>[]): boolean {
  return answers.every((answer) => 'value' in answer && answer.value.isReady);
}

function rowOf(node: string, { version, isReady, peers, guard, probes, drift }: NodeReport): string[] {
  const ready = isReady ? 'yes' : 'NO';
  return [node, version, ready, peersText(peers), guardText(guard), countsText(probes, '-'), countsText(drift, 'none')];
}

/** How many of the wanted peers are programmed: `7/7`. */
export function peersText({ wanted, programmed }: NodeReport['peers']): string {
  return `${programmed}/${wanted}`;
}

export function guardText({ mode, packets, strangers }: GuardReport): string {
  return packets === 0 ? mode : `${mode}: ${packets} packets of ${strangers} strangers`;
}

function silentRow(node: string): string[] {
  return [node, '?', '?', '?', '?', '?', '?'];
}

/** `3 reachable, 1 unreachable`; the text `none` when there are no numbers. */
export function countsText(numbers: ReadonlyMap<string, number>, none: string): string {
  const all = [...numbers].filter(([, count]) => count > 0).map(([name, count]) => `${count} ${name}`);
  return all.length === 0 ? none : all.join(', ');
}

function problemsOf(node: string, { problems, findings }: NodeReport): string[] {
  const wrong = findings.filter(({ severity }) => severity !== 'info').map(({ id, cause }) => `${id}: ${cause}`);
  const all = [...problems, ...wrong].map((problem) => `${node}: ${problem}`);
  return all.length <= SHOWN ? all : [...all.slice(0, SHOWN), `${node}: and ${all.length - SHOWN} more`];
}

function verdict(answers: readonly Answer<NodeReport>[]): string {
  const silent = answers.filter((answer) => !('value' in answer)).length;
  const ready = answers.filter((answer) => 'value' in answer && answer.value.isReady).length;
  const said = `${ready} of ${answers.length} nodes ready`;
  return silent === 0 ? said : `${said}, ${silent} did not answer`;
}

/** Aligns the cells of rows in columns. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
