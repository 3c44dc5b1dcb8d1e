// The command line of the bench, the same for every question.

import { parseArgs } from 'node:util';

export interface BenchOptions {
  /** Where dist and the sources are. */
  readonly repository: string;
  /** How often each thing is measured; each question has its own default. */
  readonly runs: number | undefined;
  /** Fewer runs, for a look. */
  readonly quick: boolean;
  /** A folder with flannel, bridge and host-local executables to compare with. */
  readonly peer: string | undefined;
  /** Where the raw samples go. */
  readonly json: string | undefined;
  readonly verbose: boolean;
}

/** The question's name and the options; throws one line for what cannot be understood. */
export function parseBenchArgs(argv: readonly string[], folder: string): { name: string; options: BenchOptions } {
  const { positionals, values } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      runs: { type: 'string' },
      repository: { type: 'string', default: folder },
      peer: { type: 'string' },
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
    },
  });
  const [name = '', ...others] = positionals;
  if (others.length > 0) throw new Error(`one question at a time, not also ${others.join(' ')}`);
  const { repository, quick, peer, json, verbose } = values;
  return { name, options: { repository, quick, peer, json, verbose, runs: parseRuns(values.runs) } };
}

function parseRuns(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const runs = Number(text);
  if (!Number.isInteger(runs) || runs <= 0) throw new Error(`--runs ${text}: a count`);
  return runs;
}
