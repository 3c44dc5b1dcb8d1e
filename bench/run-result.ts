// The JSON file that a run leaves: the machine, and the result of every part.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Disclosure } from './disclosure.ts';
import type { PartResult } from './result.ts';

export const SCHEMA = 'weft-bench';
/** Changes whenever older files can no longer be compared or shown. */
export const VERSION = 1;

export interface RunResult {
  readonly schema: typeof SCHEMA;
  readonly version: typeof VERSION;
  readonly machine: Disclosure;
  /** Whether it was a quick run, which has too few rounds to rely on. */
  readonly quick: boolean;
  readonly parts: readonly MeasuredPart[];
}

export interface MeasuredPart extends PartResult {
  readonly name: string;
  readonly question: string;
  /** How long it took. */
  readonly seconds: number;
  /** How many processors other programs and other virtual machines used meanwhile. */
  readonly othersLoad: number;
  readonly stolen: number;
}

/** The file's text. An array of numbers is written on one line, so that people can read the file and its diffs. */
export function renderRun(run: RunResult): string {
  const numbers = /\[\s+(?:(?:-?[\d.]+(?:e[+-]?\d+)?|null),?\s+)+\]/g;
  return `${JSON.stringify(run, null, 1).replaceAll(numbers, (list) => list.replaceAll(/\s+/g, ''))}\n`;
}

export function writeRun(file: string, run: RunResult): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, renderRun(run));
  renameSync(`${file}.new`, file);
}

/** Throws an error of one line that names the file when it is not a run's result, or has another version. */
export function readRun(file: string): RunResult {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${file}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be read'}`);
  }
  return parseRun(file, text);
}

export function parseRun(file: string, text: string): RunResult {
  let run: unknown;
  try {
    run = JSON.parse(text);
  } catch {
    throw new Error(`${file}: not JSON`);
  }
  const { schema, version, machine, parts } = Object(run) as Partial<RunResult>;
  if (schema !== SCHEMA) throw new Error(`${file}: schema: expected "${SCHEMA}", got ${JSON.stringify(schema)}`);
  if (version !== VERSION) throw new Error(`${file}: version: expected ${VERSION}, got ${JSON.stringify(version)}`);
  if (typeof machine !== 'object' || machine === null) throw new Error(`${file}: machine: missing`);
  if (!Array.isArray(parts) || !parts.every(isPart)) {
    throw new Error(`${file}: parts: expected a list of parts with figures`);
  }
  return run as RunResult;
}

const LISTS = ['figures', 'tables', 'ratios', 'limits', 'failures', 'notes', 'plots', 'headline'] as const;

function isPart(part: unknown): part is MeasuredPart {
  const found = Object(part) as Partial<MeasuredPart>;
  if (typeof found.name !== 'string' || !LISTS.every((list) => Array.isArray(found[list]))) return false;
  return (found.figures ?? []).every(({ key, samples }) => typeof key === 'string' && Array.isArray(samples));
}
