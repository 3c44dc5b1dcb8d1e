// Reads the bench's command line. Its --help text is in scripts/commands.mjs.

import { parseArgs } from 'node:util';

/** What every part is told. */
export interface BenchOptions {
  /** Where dist and the sources are. */
  readonly repository: string;
  /** How often each thing is measured; each part has its own default. */
  readonly runs: number | undefined;
  /** Measures fewer times, for a first impression that takes less than two minutes. */
  readonly quick: boolean;
  /** A folder with flannel, bridge and host-local executables to compare with. */
  readonly peer: string | undefined;
}

export type BenchCommand =
  | {
      readonly kind: 'run';
      /** Names of the parts to measure; an empty list means all. */
      readonly parts: readonly string[];
      readonly options: BenchOptions;
      /** The folder for the samples and the report. */
      readonly out: string | undefined;
    }
  | { readonly kind: 'compare'; readonly before: string; readonly after: string }
  | {
      readonly kind: 'table';
      /** One run for each machine. */
      readonly results: readonly [string, ...string[]];
      /** The document to write the table into. When absent, the table goes to the terminal. */
      readonly into: string | undefined;
    }
  | { readonly kind: 'report'; readonly result: string };

/** Throws an error of one line when an argument is not understood. */
export function parseBenchArgs(argv: readonly string[], folder: string): BenchCommand {
  const { positionals, values } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      runs: { type: 'string' },
      repository: { type: 'string', default: folder },
      peer: { type: 'string' },
      out: { type: 'string' },
      into: { type: 'string' },
      quick: { type: 'boolean', default: false },
    },
  });
  const [name = '', ...files] = positionals;
  if (name === 'compare') {
    const [before, after] = expectFiles(name, files, 2);
    return { kind: name, before: before ?? '', after: after ?? '' };
  }
  const { repository, quick, peer, out, into } = values;
  if (name === 'table') {
    const [first, ...others] = files;
    if (first === undefined) throw new Error('table: expected result files, got none');
    return { kind: name, results: [first, ...others], into };
  }
  if (name === 'report') return { kind: name, result: expectFiles(name, files, 1)[0] ?? '' };
  return {
    kind: 'run',
    parts: positionals,
    out,
    options: { repository, quick, peer, runs: parseRuns(values.runs) },
  };
}

function expectFiles(command: string, files: string[], count: number): string[] {
  if (files.length === count) return files;
  throw new Error(
    `${command}: expected ${count === 1 ? 'one result file' : `${count} result files`}, got ${files.length}`,
  );
}

function parseRuns(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const runs = Number(text);
  if (!Number.isInteger(runs) || runs <= 0) throw new Error(`--runs ${text}: a count`);
  return runs;
}
