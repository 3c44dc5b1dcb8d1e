// The kept result of Kubernetes' tests, and what the README says of it.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { requireServer } from '../../support/background.ts';
import { repository } from '../manifests/documents.ts';
import { isConformance, type Spec } from './e2e-program.ts';
import type { Network } from './networks.ts';

const FILE = join(repository, 'test/cluster/conformance/result.json');

interface Count {
  readonly passed: number;
  /** The names of the tests that did not pass. */
  readonly failed: readonly string[];
}

export interface KeptResult {
  readonly date: string;
  readonly kubernetes: string;
  readonly kernel: string;
  readonly weft: string;
  readonly networks: Readonly<Record<Network, { readonly conformance: Count; readonly rest: Count }>>;
}

export function readResult(): KeptResult {
  return JSON.parse(readFileSync(FILE, 'utf8')) as KeptResult;
}

/** Writes the result of a whole run, which has both networks. */
export function keepResult(results: ReadonlyMap<Network, readonly Spec[]>): void {
  const [weft, flannel] = [results.get('weft'), results.get('flannel')];
  if (weft === undefined || flannel === undefined) throw new Error('--update: a kept result needs both networks');
  const command = (argv: readonly [string, ...string[]]): string =>
    execFileSync(argv[0], argv.slice(1), { cwd: repository, encoding: 'utf8' }).trim();
  const result: KeptResult = {
    date: new Date().toISOString().slice(0, 10),
    kubernetes: command([requireServer('kube-apiserver'), '--version']).replace('Kubernetes ', ''),
    kernel: release(),
    weft: command(['git', 'rev-parse', '--short=10', 'HEAD']),
    networks: { weft: counted(weft), flannel: counted(flannel) },
  };
  writeFileSync(FILE, `${JSON.stringify(result, null, 2)}\n`);
}

function counted(specs: readonly Spec[]): { conformance: Count; rest: Count } {
  const count = (some: readonly Spec[]): Count => {
    const failed = some.filter(({ state }) => state !== 'passed');
    return { passed: some.length - failed.length, failed: failed.map(({ name }) => name).sort() };
  };
  return {
    conformance: count(specs.filter(({ name }) => isConformance(name))),
    rest: count(specs.filter(({ name }) => !isConformance(name))),
  };
}

/** The README's sentence. */
export function sentence({ kubernetes, date, networks }: KeptResult): string {
  const of = ({ passed, failed }: Count): string => `${passed} of ${passed + failed.length}`;
  const { weft, flannel } = networks;
  return [
    `Of the network conformance tests of Kubernetes ${kubernetes}, ${of(weft.conformance)} passed with Weft`,
    `and ${of(flannel.conformance)} with flannel;`,
    `of its further tests of pods' and Services' connections, host ports and source addresses, ${of(weft.rest)}`,
    `and ${of(flannel.rest)} (${date}).`,
  ].join(' ');
}
