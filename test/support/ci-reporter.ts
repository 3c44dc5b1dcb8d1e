// Ends every run with the line `N passed, N failed[, N skipped]`, after a line for each reason why tests were skipped. Vitest
// counts the tests of a failed beforeAll as skipped, and does not count a file that it could not import. Here both are failures.
// When WEFT_RESULTS names a file, the result of each test is written there instead, so that .ci/run can make one closing line for
// two runs.
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import type { Reporter, SerializedError, TestCase, TestModule, TestRunEndReason, TestSuite } from 'vitest/node';
import { closingLines, hasFailed, type Outcome, type Tally } from '../../scripts/tally.mjs';

const NO_REASON = 'not selected, not reached or skipped without a reason';
const HOOK_FAILED = 'a hook or the file around them failed';

function addSuite(tally: Tally, suite: TestModule | TestSuite, defaultReason: string, around: string[]): void {
  // A hook or an import failed, so the tests never ran. The failure belongs to the suite itself.
  const errors = suite.errors().length;
  tally.failures += errors;
  const reasonHere = errors > 0 ? HOOK_FAILED : defaultReason;
  for (const child of suite.children) {
    const names = [...around, child.name];
    if (child.type === 'suite') addSuite(tally, child, reasonHere, names);
    else tally.tests.push(outcome(child, names, reasonHere));
  }
}

function outcome(test: TestCase, names: string[], defaultReason: string): Outcome {
  const result = test.result();
  const file = test.module.relativeModuleId;
  if (result.state === 'passed' || result.state === 'failed') return { file, names, state: result.state };
  return { file, names, state: 'skipped', reason: (result.state === 'skipped' && result.note) || defaultReason };
}

/**
 * A vitest reporter. It writes when the process exits, because vitest prints its summary and the coverage table after
 * `onTestRunEnd`.
 */
export default class CiReporter implements Reporter {
  #tally: Tally = { failures: 0, tests: [] };
  #passed = false;
  /** The checks that failed before vitest was started (scripts/test.mjs). Each counts as a failure of this run. */
  readonly #failedChecks = (process.env['WEFT_FAILED_CHECKS'] ?? '').split(' ').filter((name) => name !== '');

  onInit(): void {
    process.once('exit', (code) => this.#close(code));
  }

  #close(code: number): void {
    const tally = this.#tally;
    if (this.#failedChecks.length > 0) {
      process.stdout.write(`checks failed: ${this.#failedChecks.join(', ')}\n`);
      tally.failures += this.#failedChecks.length;
      process.exitCode = code || 1;
    }
    // When a run fails for any reason, it never prints `0 failed`.
    const isRed = code !== 0 || !this.#passed;
    if (isRed && !hasFailed(tally)) tally.failures = 1;
    const file = process.env['WEFT_RESULTS'];
    if (file === undefined) process.stdout.write(closingLines(tally));
    else writeFileSync(file, JSON.stringify(tally));
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[], reason: TestRunEndReason): void {
    this.#tally = { failures: unhandled.length, tests: [] };
    for (const module of modules) addSuite(this.#tally, module, NO_REASON, []);
    this.#passed = reason === 'passed';
  }
}
