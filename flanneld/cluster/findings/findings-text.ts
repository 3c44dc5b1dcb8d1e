// `kubectl weft doctor`: the problems in the cluster, the worst first, each cause once.

import { printable } from '../../../lib/printable.ts';
import type { Finding } from '../../health/finding.ts';
import type { Answer } from '../ask/bounded.ts';
import type { MergedFinding } from './merged-finding.ts';

/** How many names are written out; more are counted. */
const NAMES = 8;

export function findingsText(merged: readonly MergedFinding[], answers: readonly Answer<readonly Finding[]>[]): string {
  const silent = answers.flatMap((answer) => ('problem' in answer ? [`${answer.node}: ${answer.problem}`] : []));
  const lines = [
    ...merged.flatMap((finding) => [...findingLines(finding), '']),
    ...(silent.length === 0 ? [] : ['did not answer:', ...silent.map((line) => `  ${line}`), '']),
    summary(merged, answers.length, silent.length),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}

export function findingLines({ id, severity, title, nodes, peers, evidence, fixes }: MergedFinding): string[] {
  return [
    `${severity}: ${title} [${id}]`,
    ...(nodes.length > 1 ? [`  nodes     ${nameList(nodes)}`] : []),
    ...(peers.length > 1 ? [`  peers     ${nameList(peers)}`] : []),
    ...(evidence === '' ? [] : [`  evidence  ${nodes.length > 1 ? `on ${nodes[0]}: ` : ''}${evidence}`]),
    ...fixes.filter((fix) => fix !== '').map((fix) => `  fix       ${fix}`),
  ];
}

/** `node-1, node-2 and 30 more`. */
export function nameList(names: readonly string[]): string {
  const shown = names.slice(0, NAMES).join(', ');
  return names.length <= NAMES ? shown : `${shown} and ${names.length - NAMES} more`;
}

function summary(merged: readonly MergedFinding[], nodes: number, silent: number): string {
  const count = (severity: string): string =>
    countText(merged.filter((finding) => finding.severity === severity).length, severity);
  const answered =
    silent === 0 ? countText(nodes, 'node') : `${nodes - silent} of ${nodes} nodes, ${silent} did not answer`;
  return `${count('error')}, ${count('warning')} on ${answered}`;
}

/** `1 error`, `2 errors`. */
export function countText(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}
