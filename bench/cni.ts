// How long does a pod wait for its network? ADD and DEL of dist/cni/flannel in flannel's classic configuration
// against flannel's own chain, against Debian's bridge and host-local alone, and against a C program that makes the
// same system calls; 50 pods at once; whether addresses in use slow an ADD down; and what a mapped port costs.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { benchBurst } from './cni/burst-part.ts';
import { compareCalls } from './cni/calls.ts';
import { benchFill } from './cni/fill-part.ts';
import { benchLatency } from './cni/latency-part.ts';
import { BRIDGE, CHAIN, type CniBench, FLOOR, type PartResult, WEFT } from './cni/part.ts';
import { benchPorts } from './cni/ports-part.ts';
import { findChain, findDebianPlugins, type Reference } from './cni/references.ts';
import { makeSetting, type Setting } from './cni/setting.ts';
import { describeMachine, discloseMachine } from './disclosure.ts';
import { verdictTable } from './limits.ts';
import type { BenchOptions } from './options.ts';

/** Prints tables and limits; false when a limit was not kept or a call failed. Needs root. */
export async function benchCni(options: BenchOptions): Promise<boolean> {
  if (process.getuid?.() !== 0) throw new Error('cni needs root: it makes network namespaces');
  const setting = makeSetting();
  const machine = discloseMachine(setting.scratch);
  const references = findReferences(options);
  const bench = prepare(options, setting, references);
  const names = describeReferences(options, references);
  say([describeMachine(machine), ...Object.entries(names).map(([name, what]) => `${name}: ${what}`)].join('\n'));
  const parts: Record<string, PartResult> = {};
  for (const [name, measure] of [
    ['latency', benchLatency],
    ['burst', benchBurst],
    ['fill', benchFill],
    ['ports', benchPorts],
  ] as const) {
    const part = await measure(bench);
    parts[name] = part;
    say(part.text);
  }
  if (options.verbose) say(await compareCalls(bench));
  return conclude(options, { machine, names, parts });
}

interface References {
  readonly chain: Reference | undefined;
  readonly debian: Reference | undefined;
}

function findReferences({ peer }: BenchOptions): References {
  return {
    chain: peer === undefined ? undefined : findChain(peer),
    debian: findDebianPlugins((line) => process.stderr.write(`bench: ${line}\n`)),
  };
}

/** Copies every program into the setting. */
function prepare(options: BenchOptions, setting: Setting, { chain, debian }: References): CniBench {
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

function conclude(
  { json }: BenchOptions,
  { machine, names, parts }: { machine: unknown; names: unknown; parts: Record<string, PartResult> },
): boolean {
  const results = Object.values(parts);
  const verdicts = results.flatMap((part) => part.verdicts);
  const failures = results.flatMap((part) => part.failures);
  say(`ratio of medians (95 % interval)\n${verdictTable(verdicts)}`);
  if (failures.length > 0) say(`FAILED\n${failures.join('\n')}`);
  if (json !== undefined) {
    const raw = Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part.raw]));
    mkdirSync(dirname(json), { recursive: true });
    writeFileSync(json, `${JSON.stringify({ question: 'cni', machine, names, verdicts, failures, raw }, null, 1)}\n`);
    say(`raw samples: ${json}`);
  }
  return failures.length === 0 && verdicts.every(({ kept }) => kept);
}

function say(text: string): void {
  process.stdout.write(`${text}\n\n`);
}
