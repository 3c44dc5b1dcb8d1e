// Kubernetes' own tests, the published program e2e.test: which tests it has, and the results of a run.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireServer } from '../../support/background.ts';

/** A test of the program and how it ended. */
export interface Spec {
  readonly name: string;
  readonly state: string;
  readonly message: string;
  readonly seconds: number;
}

/** Which of its tests to run, as regular expressions for their names. */
export interface Selection {
  readonly focus: readonly string[];
  readonly skip: readonly string[];
}

/** The report that the program writes with --ginkgo.json-report. */
interface ReportedSpec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly LeafNodeType: string;
  readonly State: string;
  readonly RunTime: number;
  readonly Failure?: { readonly Message: string };
}

const AT_ONCE = 3;
const RUN_FLAGS = [
  '--provider=skeleton',
  '--num-nodes=2',
  '--dump-logs-on-failure=false',
  '--ginkgo.timeout=3h',
  '--ginkgo.v',
];

export const isConformance = (name: string): boolean => name.includes('[Conformance]');

/** The names of all images that the program's pods may run. */
export function listImages(): string[] {
  const output = execFileSync(requireServer('e2e.test'), ['--list-images'], { encoding: 'utf8' });
  return output.split('\n').filter((line) => /^[\w.-]+(\/[\w.-]+)+:[\w.-]+$/.test(line));
}

/** The names of the tests that this selects. */
export async function listSpecs({ focus, skip }: Selection): Promise<string[]> {
  const focused = focus.map((pattern) => `--ginkgo.focus=${pattern}`);
  const skipped = skip.map((pattern) => `--ginkgo.skip=${pattern}`);
  const specs = await runProgram(['--ginkgo.dry-run', '--kubeconfig=/dev/null', ...focused, ...skipped], '/dev/null');
  return specs.map(({ name }) => name).sort();
}

/** Runs tests on a cluster, some at the same time, because most of them mostly wait. Their output is in files LOG-N.log. */
export async function runSpecs(kubeconfig: string, names: readonly string[], log: string): Promise<Spec[]> {
  const parts = Array.from({ length: AT_ONCE }, (_, part) => names.filter((_name, at) => at % AT_ONCE === part));
  const runs = parts
    .filter((part) => part.length > 0)
    .map((part, at) => {
      const focused = part.map((name) => `--ginkgo.focus=${escaped(name)}$`);
      return runProgram([...RUN_FLAGS, `--kubeconfig=${kubeconfig}`, ...focused], `${log}-${at + 1}.log`);
    });
  return (await Promise.all(runs)).flat();
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

async function runProgram(flags: readonly string[], logFile: string): Promise<Spec[]> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-e2e-'));
  try {
    const report = join(folder, 'report.json');
    const output = openSync(logFile, 'w');
    const argv = ['--pdeathsig', 'KILL', '--', requireServer('e2e.test'), '--ginkgo.no-color', ...flags];
    const stdio = ['ignore', output, output] as const;
    const child = spawn('setpriv', [...argv, `--ginkgo.json-report=${report}`], { cwd: folder, stdio: [...stdio] });
    await once(child, 'exit');
    return specsOf(readFileSync(report, 'utf8'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The tests of a report that were not left out. */
function specsOf(report: string): Spec[] {
  const suites = JSON.parse(report) as { SpecReports: ReportedSpec[] | null }[];
  return suites
    .flatMap(({ SpecReports }) => SpecReports ?? [])
    .filter(({ LeafNodeType, State, Failure }) => LeafNodeType === 'It' && (State !== 'skipped' || Failure?.Message))
    .map(({ ContainerHierarchyTexts, LeafNodeText, State, Failure, RunTime }) => ({
      name: [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(' '),
      state: State,
      message: Failure?.Message ?? '',
      seconds: RunTime / 1e9,
    }));
}
