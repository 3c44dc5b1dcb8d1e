// The README's table of what a fault costs: made from the faults part of the same kept result as the table of figures.

import type { PartResult } from './result.ts';
import { samplesOfFigure } from './result.ts';
import type { RunResult } from './run-result.ts';
import { summarize } from './stats.ts';

const START = '<!-- what a fault costs, written by npm run bench -- table -->';
const END = '<!-- the end of what a fault costs -->';
const BLOCK = new RegExp(`${START}\\n[^]*?${END}`);

/** The table, one line for each fault in the order of the trials. Throws when the run has no faults part. */
export function faultsBlock({ parts }: RunResult): string {
  const part = parts.find(({ name }) => name === 'faults');
  if (part === undefined) throw new Error('this result has no part faults');
  const rows = part.figures.filter(({ key }) => key.endsWith('/lost')).map((lost) => rowOf(part, lost.key, lost.name));
  const head = ['| somebody … | rounds | lost, median | worst | right again, median |', '|---|--:|--:|--:|--:|'];
  return [START, ...head, ...rows, END].join('\n');
}

function rowOf({ figures }: PartResult, lostKey: string, name: string): string {
  const lost = summarize(samplesOf(figures, lostKey));
  const healed = summarize(samplesOf(figures, lostKey.replace(/lost$/, 'healed')));
  return `| ${name} | ${lost.count} | ${lost.p50} | ${lost.max} | ${healed.p50.toFixed(0)} ms |`;
}

function samplesOf(figures: PartResult['figures'], key: string): number[] {
  const found = figures.find((figure) => figure.key === key);
  return found === undefined ? [] : [...samplesOfFigure(found)];
}

/** `text` with its table replaced by `block`; unchanged when it has no place for the table. */
export function withFaults(text: string, block: string): string {
  return text.replace(BLOCK, () => block);
}
