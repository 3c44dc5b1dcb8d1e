// Kubernetes' own tests, the published program e2e.test: which tests it has, and what a run of it says of each.

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

/** Which of its tests, as regular expressions for their names. */
export interface Selection {
  readonly focus: readonly string[];
  readonly skip: readonly string[];
}

/** What the program writes with --ginkgo.json-report. */
interface ReportedSpec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly LeafNodeType: string;
  readonly State: string;
  readonly RunTime: number;
  readonly Failure?: { readonly Message: string };
}

export const isConformance = (name: string): boolean => name.includes('[Conformance]');

function selectionFlags({ focus, skip }: Selection): string[] {
  return [...focus.map((pattern) => `--ginkgo.focus=${pattern}`), ...skip.map((pattern) => `--ginkgo.skip=${pattern}`)];
}

/** The names of all images that the program's pods may run. */
export function listImages(): string[] {
  const output = execFileSync(requireServer('e2e.test'), ['--list-images'], { encoding: 'utf8' });
  return output.split('\n').filter((line) => /^[\w.-]+(\/[\w.-]+)+:[\w.-]+$/.test(line));
}

/** The names of the tests that a run with this selection executes. */
export async function listSpecs(selection: Selection): Promise<string[]> {
  const flags = ['--ginkgo.dry-run', '--kubeconfig=/dev/null', ...selectionFlags(selection)];
  const specs = await runProgram(flags, '/dev/null');
  return specs.map(({ name }) => name).sort();
}

/** Runs tests on a cluster, one after the other, with all output in a file. */
export async function runSpecs(kubeconfig: string, selection: Selection, logFile: string): Promise<Spec[]> {
  const flags = [
    `--kubeconfig=${kubeconfig}`,
    '--provider=skeleton',
    '--num-nodes=2',
    '--dump-logs-on-failure=false',
    '--ginkgo.timeout=3h',
    '--ginkgo.v',
    ...selectionFlags(selection),
  ];
  return await runProgram(flags, logFile);
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
