// The hops of a path as lines for a terminal.

import { printable } from '../../../lib/printable.ts';
import type { Finding } from '../../health/finding.ts';
import type { Hop } from './hop.ts';

/** A hop, with its finding complete. */
export interface PathStep extends Omit<Hop, 'draft'> {
  readonly finding?: Finding;
}

const SIGNS = { ok: '✓', limit: '!', stop: '✗', unknown: '?' } as const;
const NAME_WIDTH = 10;

export function pathText(from: string, to: string, node: string, steps: readonly PathStep[]): string {
  const lines = [`${from} to ${to}, on ${node}`, ''];
  for (const { name, result, answer, finding } of steps) {
    lines.push(`  ${SIGNS[result]} ${name.padEnd(NAME_WIDTH)} ${answer}`);
    if (finding !== undefined) lines.push(`      ${finding.id}: ${finding.cause}`, `      fix: ${finding.fix}`);
  }
  return `${[...lines, '', verdict(node, steps)].map(printable).join('\n')}\n`;
}

function verdict(node: string, steps: readonly PathStep[]): string {
  const stopped = steps.find(({ result }) => result === 'stop');
  if (stopped !== undefined) return `stops at ${stopped.name} on ${node}`;
  const limited = steps.find(({ result }) => result === 'limit');
  if (limited !== undefined) return `passes ${node}, but not all packets do: ${limited.name}`;
  return `passes ${node}`;
}
