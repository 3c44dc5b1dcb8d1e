// Reads the bench's command line. Its --help text is in scripts/commands.mjs.

import { parseArgs } from 'node:util';

/** The options that every part gets. */
export interface BenchOptions {
  /** Where dist and the sources are. */
  readonly repository: string;
  /** How often each thing is measured; each part has its own default. */
  readonly runs: number | undefined;
  /** Measures fewer times, for a first impression that takes less than two minutes. */
  readonly quick: boolean;
  /** A folder with flannel, bridge and host-local executables to compare with. */
  readonly peer: string | undefined;
  /** For the part `cluster`, and nothing else. */
  readonly cluster?: ClusterOptions;
}

export interface ClusterOptions {
  /** As for kubectl. */
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  /** Names of two nodes, `A,B`. */
  readonly nodes: string | undefined;
  /** Weft's image; that of the installed agents when absent. */
  readonly image: string | undefined;
  /** How many pods are made at once. */
  readonly churn: number;
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
      compare: { type: 'string' },
      quick: { type: 'boolean', default: false },
      kubeconfig: { type: 'string' },
      context: { type: 'string' },
      nodes: { type: 'string' },
      image: { type: 'string' },
      churn: { type: 'string', default: '30' },
    },
  });
  const [name = '', ...files] = positionals;
  if (values.compare !== undefined) return compareClusters(values.compare, positionals);
  if (name === 'compare') {
    const [before, after] = expectFiles(name, files, 2);
    return { kind: name, before: before ?? '', after: after ?? '' };
  }
  const { repository, quick, peer, out, into, kubeconfig, context, nodes, image, churn } = values;
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
    options: {
      repository,
      quick,
      peer,
      runs: parseCount('--runs', values.runs),
      cluster: { kubeconfig, context, nodes, image, churn: parseCount('--churn', churn) ?? 1 },
    },
  };
}

/** `cluster --compare A.json B.json`: parseArgs gives the first file to the option and leaves the second among the words. */
function compareClusters(before: string, [part, ...files]: readonly string[]): BenchCommand {
  if (part !== 'cluster') throw new Error(`--compare: only with cluster, not with "${part ?? ''}"`);
  const [first, second] = expectFiles('cluster --compare', [before, ...files], 2);
  return { kind: 'compare', before: first ?? '', after: second ?? '' };
}

function expectFiles(command: string, files: string[], count: number): string[] {
  if (files.length === count) return files;
  throw new Error(
    `${command}: expected ${count === 1 ? 'one result file' : `${count} result files`}, got ${files.length}`,
  );
}

function parseCount(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const runs = Number(text);
  if (!Number.isInteger(runs) || runs <= 0) throw new Error(`${flag} ${text}: a count`);
  return runs;
}
