// The kept result of Kubernetes' tests.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { requireServer } from '../../support/background.ts';
import type { Families } from '../kubelet/ranges.ts';
import { repository } from '../manifests/documents.ts';
import { isConformance, type Spec } from './e2e-program.ts';
import type { Network } from './networks.ts';

const FILE = join(repository, 'test/cluster/conformance/result.json');

interface Count {
  readonly passed: number;
  /** The names of the tests that did not pass. */
  readonly failed: readonly string[];
}

/** What a cluster of one network and its address families gave. */
interface KeptRun {
  readonly network: Network;
  readonly families: Families;
  readonly date: string;
  readonly kubernetes: string;
  readonly kernel: string;
  /** The commit of Weft. */
  readonly commit: string;
  readonly conformance: Count;
  readonly rest: Count;
}

function readResult(): KeptRun[] {
  return existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as KeptRun[]) : [];
}

/** Keeps a run in place of the former one of that network and those families. */
export function keepRun(network: Network, families: Families, specs: readonly Spec[]): void {
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
