// Runs the parts one after the other, shows progress, handles a part that fails, and measures what other programs did meanwhile.

import { describeLoad, othersLoad, readTimes } from './disturbance.ts';
import type { BenchOptions } from './options.ts';
import { progressLine } from './progress.ts';
import type { Part, PartResult } from './result.ts';
import type { MeasuredPart } from './run-result.ts';

interface Terminal {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Measures every part and calls `onPart` after each. A part that rejects becomes a failure, and the others go on. */
export async function runParts(
  parts: readonly Part[],
  options: BenchOptions,
  terminal: Terminal,
  onPart: (part: MeasuredPart) => void,
): Promise<MeasuredPart[]> {
  const done: MeasuredPart[] = [];
  for (const [index, part] of parts.entries()) {
    const prefix = parts.length > 1 ? `[${index + 1}/${parts.length}] ` : '';
    const progress = progressLine(terminal, prefix, describeRest(parts.slice(index + 1), options.quick));
    const before = readTimes();
    const result = await part.measure(options, progress).catch(failedResult);
    progress.clear();
    const after = readTimes();
    const { others, stolen } = othersLoad(before, after);
    const { name, question } = part;
    const measured: MeasuredPart = {
      name,
      question,
      seconds: rounded((after.atMs - before.atMs) / 1000),
      othersLoad: rounded(others),
      stolen: rounded(stolen),
      ...result,
      notes: [...result.notes, ...describeLoad({ others, stolen })],
    };
    done.push(measured);
    onPart(measured);
  }
  return done;
}

/** ` · then packet, peers: about 60 s`; empty after the last one. */
export function describeRest(rest: readonly Part[], quick: boolean): string {
  return rest.length === 0 ? '' : ` · then ${describePlan(rest, quick)}`;
}

/** `packet, peers: about 60 s` */
export function describePlan(parts: readonly Part[], quick: boolean): string {
  const seconds = parts.reduce((sum, part) => sum + ((quick ? part.seconds.quick : undefined) ?? part.seconds.full), 0);
  const about = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  return `${parts.map(({ name }) => name).join(', ')}: about ${about}`;
}

function failedResult(error: unknown): PartResult {
  const failure = error instanceof Error ? error.message : String(error);
  return { figures: [], tables: [], ratios: [], limits: [], failures: [failure], notes: [], plots: [], headline: [] };
}

function rounded(value: number): number {
  return Number(value.toFixed(2));
}
