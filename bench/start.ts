// How long does the CNI executable take to do nothing? VERSION of dist/cni/flannel against an empty static C
// program, which is what the kernel and libc cost, and against Debian's host-local, which is what Go costs.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchOptions } from './options.ts';
import { quantiles } from './stats.ts';

const DEFAULT_RUNS = 500;
/** Where Debian's containernetworking-plugins, and most nodes, have the reference plugins; then PATH. */
const PLUGIN_FOLDERS = ['/usr/lib/cni', '/opt/cni/bin'];

interface Candidate {
  readonly name: string;
  readonly path: string;
}

/** Prints a table of wall time in microseconds, from exec to the end as the starter sees it. */
export function benchStart({ repository, runs = DEFAULT_RUNS }: BenchOptions): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'weft-bench-'));
  try {
    const launcher = compile(join(repository, 'bench/launch.c'), join(folder, 'launch'));
    const candidates = findCandidates(repository, folder);
    const times = measure(launcher, candidates, runs);
    process.stdout.write(`${table(candidates, times, runs)}\n`);
    return true;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function findCandidates(repository: string, folder: string): Candidate[] {
  const flannel = join(repository, 'dist/cni/flannel');
  if (!existsSync(flannel)) throw new Error(`no ${flannel}: run npm run build`);
  const source = join(folder, 'empty.c');
  writeFileSync(source, 'int main(void) { return 0; }\n');
  const empty = { name: 'empty static C program', path: compile(source, join(folder, 'empty')) };
  const ours = { name: 'flannel VERSION', path: flannel };
  const reference = findPlugin('host-local');
  if (reference === undefined) {
    process.stderr.write('bench: no host-local in /usr/lib/cni, /opt/cni/bin or PATH: left out ');
    process.stderr.write("(Debian's containernetworking-plugins has it)\n");
    return [empty, ours];
  }
  return [empty, ours, { name: `${reference} VERSION`, path: reference }];
}

function findPlugin(name: string): string | undefined {
  const folders = [...PLUGIN_FOLDERS, ...(process.env['PATH'] ?? '').split(':')];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

function compile(source: string, output: string): string {
  execFileSync('gcc', ['-O2', '-static', '-D_GNU_SOURCE', source, '-o', output]);
  return output;
}

/** Microseconds by candidate. */
function measure(launcher: string, candidates: readonly Candidate[], runs: number): number[][] {
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

function table(candidates: readonly Candidate[], times: readonly number[][], runs: number): string {
  const lines = candidates.map(({ name }, at) => {
    const found = quantiles(times[at] ?? [], [0.1, 0.5, 0.9]);
    return name.padEnd(36) + found.map((value) => value.toFixed(0).padStart(9)).join('');
  });
  const title = `µs, ${runs} runs, interleaved`.padEnd(36);
  return [title + ['p10', 'p50', 'p90'].map((text) => text.padStart(9)).join(''), ...lines].join('\n');
}
