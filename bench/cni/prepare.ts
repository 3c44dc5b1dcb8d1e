// Prepares the parts about the CNI executable: puts the programs into their folders and finds their versions.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchOptions } from '../options.ts';
import { BRIDGE, CHAIN, type CniBench, FLOOR, WEFT } from './part.ts';
import { findChain, findDebianPlugins, type Reference } from './references.ts';
import type { Setting } from './setting.ts';

export interface References {
  readonly chain: Reference | undefined;
  readonly debian: Reference | undefined;
}

export function findReferences({ peer }: BenchOptions, note: (line: string) => void): References {
  if (peer === undefined) note(`${CHAIN} was not measured: name a folder with its executables, --peer DIR`);
  return { chain: peer === undefined ? undefined : findChain(peer), debian: findDebianPlugins(note) };
}

/** Copies every program into the setting's folder. Throws when one was not built. */
export function prepare(
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

export function describeReferences(
  { repository }: BenchOptions,
  { chain, debian }: References,
): Record<string, string> {
  const build = JSON.parse(readFileSync(join(repository, 'dist/cni/BUILD.json'), 'utf8'));
  return {
    [WEFT]: `dist/cni/flannel ${build.id} (QuickJS-ng ${build.quickjs.version}, ${build.compiler})`,
    [CHAIN]: chain?.description ?? 'not measured: name a folder with --peer DIR',
    [BRIDGE]: debian?.description ?? "not measured: Debian's containernetworking-plugins are not installed",
    [FLOOR]: 'bench/floor, the same system calls in C, gcc -O2 -static',
  };
}
