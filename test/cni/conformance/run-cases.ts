// Runs cases: decides which apply, runs each in a sandbox of its own, a few at a time, and collects the results.

import { errorText } from '../../../lib/errors.ts';
import { type Case, type Check, type Release, releases, type Subject } from './case.ts';
import type { ChainDriver } from './driver.ts';
import { CaseFailure } from './expect.ts';
import { examine, type Machine } from './machine.ts';
import { withAllNames } from './names.ts';
import { Sandbox } from './sandbox.ts';
import { Trial } from './trial.ts';
import { ALL_VERSIONS, type CniVersion, ordinaryVersion } from './versions.ts';

export interface RunOptions {
  /** The absolute path of the executables' folder. */
  readonly executables: string;
  /** Whether our behaviour or the reference's is expected where the two differ on purpose. */
  readonly held: 'ours' | 'reference';
  /** The release of the reference plugins; when absent, it is found out. */
  readonly release?: Release | undefined;
  /** Only these plugins; when absent, every plugin that has an executable. */
  readonly plugins?: readonly Subject[] | undefined;
  /** Only these cases. Each is named by its id, its id without `@plugin`, or its row's number. */
  readonly ids?: readonly string[] | undefined;
  readonly driver?: ChainDriver | undefined;
  readonly jobs?: number;
  readonly onReport?: (report: CaseReport) => void;
}

export interface CaseReport {
  readonly id: string;
  readonly plugin: Subject;
  readonly title: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Why it failed or was skipped, in one line. */
  readonly reason?: string;
  /** The calls and answers of a case that failed. */
  readonly transcript?: readonly string[];
  readonly durMs: number;
}

/** Resolves with one report for each case, in the order of `cases`. Rejects when namespaces cannot be made. */
export async function runCases(cases: readonly Case[], options: RunOptions): Promise<CaseReport[]> {
  const named = await withAllNames(options.executables);
  try {
    return await runAll(cases, { ...options, executables: named.dir });
  } finally {
    named.release();
  }
}

async function runAll(cases: readonly Case[], options: RunOptions): Promise<CaseReport[]> {
  const machine = await lookAtMachine(options.executables);
  const chosen = cases.filter((one) => isChosen(one, options, machine));
  const reports: CaseReport[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < chosen.length) {
      const at = next++;
      const one = chosen[at];
      if (one === undefined) return;
      const report = await runCase(one, options, machine);
      reports[at] = report;
      options.onReport?.(report);
    }
  };
  await Promise.all(Array.from({ length: options.jobs ?? 3 }, worker));
  return reports;
}

async function lookAtMachine(executables: string): Promise<Machine> {
  const sandbox = await Sandbox.open(executables);
  try {
    return await examine(sandbox, executables);
  } finally {
    await sandbox.close();
  }
}

function isChosen(one: Case, { plugins, ids, driver }: RunOptions, machine: Machine): boolean {
  if (ids !== undefined && !ids.some((id) => isNamed(one, id))) return false;
  if (plugins !== undefined) return plugins.includes(one.plugin);
  return one.plugin === 'chain' ? driver !== undefined : machine.speaks.has(one.plugin);
}

function isNamed(one: Case, id: string): boolean {
  return one.id === id || one.id.split('@')[0] === id || one.numbers.some((number) => String(number) === id);
}

async function runCase(one: Case, options: RunOptions, machine: Machine): Promise<CaseReport> {
  const { id, plugin, title } = one;
  const startMs = performance.now();
  const decided = decide(one, options, machine);
  if (typeof decided === 'string') return { id, plugin, title, outcome: 'skipped', reason: decided, durMs: 0 };
  const sandbox = await Sandbox.open(options.executables);
  const trial = new Trial(sandbox, plugin, ordinaryVersion(spokenBy(one, machine)), options.driver);
  try {
    await decided(trial);
    return { id, plugin, title, outcome: 'passed', durMs: performance.now() - startMs };
  } catch (thrown) {
    const reason = thrown instanceof CaseFailure ? thrown.message : `cannot be tried: ${errorText(thrown)}`;
    const durMs = performance.now() - startMs;
    return { id, plugin, title, outcome: 'failed', reason, transcript: trial.transcript, durMs };
  } finally {
    await sandbox.close();
  }
}

/** The check to run, or the reason to skip the case. */
function decide(one: Case, options: RunOptions, machine: Machine): Check | string {
  const lacking = one.needs.filter((need) => machine.missing.has(need));
  if (lacking.length > 0) return `the machine lacks ${lacking.join(', ')}`;
  const unable = whyUnable(one, options, machine);
  if (unable !== undefined) return unable;
  if (options.held === 'ours') return one.check;
  if (one.referenceFrom !== undefined && isOlder(options.release ?? releaseOf(one, machine), one.referenceFrom)) {
    return `the reference does so only in ${one.referenceFrom}`;
  }
  if (one.differs === undefined) return one.check;
  return one.differs.reference ?? `no reference behaviour: ${one.differs.reason}`;
}

function whyUnable(one: Case, options: RunOptions, machine: Machine): string | undefined {
  if (one.plugin === 'chain') return options.driver === undefined ? 'there is no chain driver' : undefined;
  const spoken = machine.speaks.get(one.plugin);
  if (spoken === undefined) return `there is no executable ${one.plugin}`;
  return spoken.includes(one.since) ? undefined : `the executable does not speak CNI ${one.since}`;
}

function spokenBy(one: Case, machine: Machine): readonly CniVersion[] {
  return (one.plugin === 'chain' ? undefined : machine.speaks.get(one.plugin)) ?? ALL_VERSIONS;
}

/** The release of a reference plugin, as far as its supported CNI versions show it. */
function releaseOf(one: Case, machine: Machine): Release {
  const spoken = spokenBy(one, machine);
  if (spoken.includes('1.1.0')) return 'main';
  return spoken.includes('1.0.0') ? '1.1.1' : '0.9.1';
}

function isOlder(a: Release, b: Release): boolean {
  return releases.indexOf(a) < releases.indexOf(b);
}
