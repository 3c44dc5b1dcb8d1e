// How long does the CNI executable take to do nothing? VERSION of dist/cni/flannel is compared with an empty static C program,
// which shows what the kernel and libc cost, and with Debian's host-local, which shows what Go costs.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { figure, ratioOfFigures, summaryTable } from './figures.ts';
import type { BenchOptions } from './options.ts';
import type { Figure, Part, PartResult } from './result.ts';

const RUNS = 500;
const QUICK_RUNS = 200;
/** Where Debian and most nodes have the reference plugins. PATH is searched after these folders. */
const PLUGIN_FOLDERS = ['/usr/lib/cni', '/opt/cni/bin'];

interface Candidate {
  /** The key of the candidate's figure. */
  readonly key: string;
  readonly name: string;
  readonly path: string;
}

const EMPTY = 'empty';
const WEFT = 'weft';
const HOST_LOCAL = 'host-local';

export const startPart: Part = {
  name: 'start',
  question: 'How long does the CNI executable take to do nothing?',
  seconds: { full: 4, quick: 2 },
  measure,
};

/** Measures microseconds of wall time, from exec until the starting process sees the end. */
function measure({ repository, quick, runs = quick ? QUICK_RUNS : RUNS }: BenchOptions): Promise<PartResult> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-bench-'));
  try {
    const launcher = compile(join(repository, 'bench/launch.c'), join(folder, 'launch'));
    const candidates = findCandidates(repository, folder);
    return Promise.resolve(describe(candidates, timesOf(launcher, candidates, runs)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function describe(candidates: readonly Candidate[], times: readonly number[][]): PartResult {
  const figures = candidates.map(({ key, name }, at): Figure => {
    const role = key === WEFT ? 'weft' : 'reference';
    return figure({ key, name, unit: 'µs', better: 'lower', role }, times[at] ?? []);
  });
  const others = figures.filter(({ role }) => role === 'reference');
  const found = others.some(({ key }) => key === HOST_LOCAL);
  return {
    figures,
    tables: [summaryTable('exec to end, doing nothing', figures)],
    ratios: others.map(({ key, name }) => ratioOfFigures(`start against ${name}`, figures, { of: WEFT, against: key })),
    limits: [],
    failures: [],
    notes: found ? [] : [`no host-local in ${PLUGIN_FOLDERS.join(', ')} or PATH: left out`],
    plots: [{ kind: 'distribution', title: 'Exec to end, doing nothing', figures: figures.map(({ key }) => key) }],
    headline: [],
  };
}

function findCandidates(repository: string, folder: string): Candidate[] {
  const flannel = join(repository, 'dist/cni/flannel');
  if (!existsSync(flannel)) throw new Error(`no ${flannel}: run npm run build`);
  const source = join(folder, 'empty.c');
  writeFileSync(source, 'int main(void) { return 0; }\n');
  const empty = { key: EMPTY, name: 'an empty static C program', path: compile(source, join(folder, 'empty')) };
  const ours = { key: WEFT, name: 'weft VERSION', path: flannel };
  const reference = findPlugin(HOST_LOCAL);
  if (reference === undefined) return [ours, empty];
  return [ours, empty, { key: HOST_LOCAL, name: 'host-local VERSION', path: reference }];
}

function findPlugin(name: string): string | undefined {
  const folders = [...PLUGIN_FOLDERS, ...(process.env['PATH'] ?? '').split(':')];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

export function compile(source: string, output: string): string {
  execFileSync('gcc', ['-O2', '-static', '-D_GNU_SOURCE', source, '-o', output]);
  return output;
}

/** A list of microseconds for each candidate. */
function timesOf(launcher: string, candidates: readonly Candidate[], runs: number): number[][] {
  const args = [String(runs), ...candidates.map(({ path }) => path)];
  const output = execFileSync(launcher, args, {
    env: { CNI_COMMAND: 'VERSION' },
    input: '',
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const rows = output
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ').map((nanoseconds) => Number(nanoseconds) / 1000));
  return candidates.map((_, at) => rows.map((row) => row[at] ?? Number.NaN));
}
