// How long does a pod wait for its network? ADD and DEL of dist/cni/flannel in flannel's classic configuration
// against flannel's own chain, against Debian's bridge and host-local alone, and against a C program that makes the
// same system calls; many pods at once, and at a fixed rate; whether pods that are there or addresses in use slow an
// ADD down; and what a mapped port costs.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { benchBurst } from './cni/burst-part.ts';
import { compareCalls } from './cni/calls.ts';
import { benchFill } from './cni/fill-part.ts';
import { benchLatency } from './cni/latency-part.ts';
import { benchLoad } from './cni/load-part.ts';
import { BRIDGE, CHAIN, type CniBench, FLOOR, WEFT } from './cni/part.ts';
import { benchPorts } from './cni/ports-part.ts';
import { benchPresent } from './cni/present-part.ts';
import { findChain, findDebianPlugins, type Reference } from './cni/references.ts';
import { makeSetting, type Setting } from './cni/setting.ts';
import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { joinResults, type Part, type PartResult } from './result.ts';

const PARTS = [benchLatency, benchBurst, benchLoad, benchPresent, benchFill, benchPorts];

export const cniPart: Part = {
  name: 'cni',
  question: 'How long does a pod wait for its network?',
  seconds: { full: 540, quick: 85 },
  measure,
};

async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('cni needs root: it makes network namespaces');
  const notes: string[] = [];
  const setting = makeSetting();
  const references = findReferences(options, (line) => notes.push(line));
  const bench = prepare({ options, progress }, setting, references);
  const results: PartResult[] = [];
  for (const part of PARTS) results.push(await part(bench));
  const joined = joinResults(results);
  const calls = options.verbose ? await compareCalls(bench) : [];
  return {
    ...joined,
    tables: [...joined.tables, ...calls],
    notes: [...notes, ...joined.notes],
    about: describeReferences(options, references),
  };
}

interface References {
  readonly chain: Reference | undefined;
  readonly debian: Reference | undefined;
}

function findReferences({ peer }: BenchOptions, note: (line: string) => void): References {
  if (peer === undefined) note(`${CHAIN} was not measured: name a folder with its executables, --peer DIR`);
  return { chain: peer === undefined ? undefined : findChain(peer), debian: findDebianPlugins(note) };
}

/** Copies every program into the setting. */
function prepare(
  { options, progress }: Pick<CniBench, 'options' | 'progress'>,
  setting: Setting,
  { chain, debian }: References,
): CniBench {
  const { repository } = options;
  const built = (path: string): string => {
    const file = join(repository, path);
    if (!existsSync(file)) throw new Error(`no ${file}: run npm run bench`);
    return file;
  };
  const copyOf = (folder: string, names: readonly string[], reference: Reference | undefined): string | undefined => {
    if (reference === undefined) return undefined;
    for (const name of names) setting.addProgram(folder, name, join(reference.folder, name));
    return join(setting.scratch, 'bin', folder);
  };
  return {
    options,
    progress,
    setting,
    driver: built('dist/bench/cni-driver'),
    weft: setting.addProgram('weft', 'flannel', built('dist/cni/flannel')),
    weftPortmap: setting.addProgram('portmap', 'portmap', built('dist/cni/flannel')),
    floor: setting.addProgram('floor', 'floor', built('dist/bench/floor')),
    chain: copyOf('chain', ['flannel', 'bridge', 'host-local'], chain),
    debian: copyOf('debian', ['bridge', 'host-local', 'portmap'], debian),
  };
}

function describeReferences({ repository }: BenchOptions, { chain, debian }: References): Record<string, string> {
  const build = JSON.parse(readFileSync(join(repository, 'dist/cni/BUILD.json'), 'utf8'));
  return {
    [WEFT]: `dist/cni/flannel ${build.id} (QuickJS-ng ${build.quickjs.version}, ${build.compiler})`,
    [CHAIN]: chain?.description ?? 'not measured: name a folder with --peer DIR',
    [BRIDGE]: debian?.description ?? "not measured: Debian's containernetworking-plugins are not installed",
    [FLOOR]: 'bench/floor, the same system calls in C, gcc -O2 -static',
  };
}
