// The kept result of Kubernetes' tests, and the README's sentence about it.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { requireServer } from '../../support/background.ts';
import type { Families } from '../kubelet/ranges.ts';
import { repository } from '../manifests/documents.ts';
import { isConformance, type Spec } from './e2e-program.ts';
import type { Network } from './networks.ts';

/** The nodes' network, or Weft's with the component fast-path. */
export type Subject = Network | 'weft-fast-path';

const FILE = join(repository, 'test/cluster/conformance/result.json');

interface Count {
  readonly passed: number;
  /** The names of the tests that did not pass. */
  readonly failed: readonly string[];
}

/** The result of a cluster of one network and its address families. */
export interface KeptRun {
  readonly network: Subject;
  readonly families: Families;
  readonly date: string;
  readonly kubernetes: string;
  readonly kernel: string;
  /** The commit of Weft. */
  readonly commit: string;
  readonly conformance: Count;
  readonly rest: Count;
}

export function readResult(): KeptRun[] {
  return existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as KeptRun[]) : [];
}

/** Keeps a run in place of the earlier one for that network and those families. */
export function keepRun(network: Subject, families: Families, specs: readonly Spec[]): void {
  const command = (argv: readonly [string, ...string[]]): string =>
    execFileSync(argv[0], argv.slice(1), { cwd: repository, encoding: 'utf8' }).trim();
  const run: KeptRun = {
    network,
    families,
    date: new Date().toISOString().slice(0, 10),
    kubernetes: command([requireServer('kube-apiserver'), '--version']).replace('Kubernetes ', ''),
    kernel: release(),
    commit: command(['git', 'rev-parse', '--short=10', 'HEAD']),
    conformance: count(specs.filter(({ name }) => isConformance(name))),
    rest: count(specs.filter(({ name }) => !isConformance(name))),
  };
  const others = readResult().filter((each) => each.network !== network || each.families !== families);
  const key = (each: KeptRun): string => `${each.families} ${each.network}`;
  const all = [...others, run].sort((a, b) => key(b).localeCompare(key(a)));
  writeFileSync(FILE, `${JSON.stringify(all, null, 2)}\n`);
}

function count(specs: readonly Spec[]): Count {
  const failed = specs.filter(({ state }) => state !== 'passed');
  return { passed: specs.length - failed.length, failed: failed.map(({ name }) => name).sort() };
}

/** The README's sentence. Throws when a run is missing. */
export function sentence(runs: readonly KeptRun[]): string {
  const passed = (network: Subject, families: Families, key: 'conformance' | 'rest'): string => {
    const run = runs.find((each) => each.network === network && each.families === families);
    if (run === undefined) throw new Error(`no kept run of ${network} with ${families}`);
    return `${run[key].passed} of ${run[key].passed + run[key].failed.length}`;
  };
  const both = (families: Families, key: 'conformance' | 'rest'): string =>
    `${passed('weft', families, key)} with Weft and ${passed('flannel', families, key)} with flannel`;
  return [
    `Kubernetes' own network tests (${[...new Set(runs.map(({ kubernetes }) => kubernetes))].join(', ')}) that pass:`,
    `conformance, ${both('ipv4', 'conformance')};`,
    `more of Services, session affinity, hairpin and source addresses, ${both('ipv4', 'rest')};`,
    `dual-stack, ${both('dual', 'rest')}.`,
    ...(runs.some(({ network, families }) => network === 'weft-fast-path' && families === 'ipv4')
      ? [
          `With the fast path ${passed('weft-fast-path', 'ipv4', 'conformance')} and ${passed('weft-fast-path', 'ipv4', 'rest')}.`,
        ]
      : []),
  ].join(' ');
}
