// Ends every run with one line a person or a CI can read, `N passed, N failed[, N skipped]`, and before it why tests were skipped.
// Vitest counts the tests of a failed beforeAll as skipped and knows nothing of a file it could not import; both are failures here.
import process from 'node:process';
import type { Reporter, SerializedError, TestModule, TestRunEndReason, TestSuite } from 'vitest/node';

/** What one run came to; `reasons` maps why tests were skipped to how many. */
interface Tally {
  passed: number;
  failed: number;
  skipped: number;
  reasons: Map<string, number>;
}

const NO_REASON = 'not selected, not reached or skipped without a reason';
const HOOK_FAILED = 'a hook or the file around them failed';

function emptyTally(): Tally {
  return { passed: 0, failed: 0, skipped: 0, reasons: new Map() };
}

function addSuite(tally: Tally, suite: TestModule | TestSuite, defaultReason: string): void {
  // A hook or an import that failed: its tests never ran, so the suite itself is what failed.
  const errors = suite.errors().length;
  tally.failed += errors;
  const reasonHere = errors > 0 ? HOOK_FAILED : defaultReason;
  for (const child of suite.children) {
    if (child.type === 'suite') {
      addSuite(tally, child, reasonHere);
      continue;
    }
    const result = child.result();
    if (result.state === 'passed') tally.passed += 1;
    else if (result.state === 'failed') tally.failed += 1;
    else {
      const reason = (result.state === 'skipped' ? result.note : undefined) ?? reasonHere;
      tally.skipped += 1;
      tally.reasons.set(reason, (tally.reasons.get(reason) ?? 0) + 1);
    }
  }
}

/** The last lines of the output: why tests were skipped, then the totals. A red run never says `0 failed`, whatever made it red. */
function closingLines(tally: Tally, isRed: boolean): string {
  const failed = isRed ? Math.max(tally.failed, 1) : tally.failed;
  const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : '';
  const reasons = [...tally.reasons].map(([reason, tests]) => `skipped ${tests}: ${reason}`);
  return `${[...reasons, `${tally.passed} passed, ${failed} failed${skipped}`].join('\n')}\n`;
}

/** A vitest reporter, written at process exit: vitest prints its summary and the coverage table after `onTestRunEnd`. */
export default class CiReporter implements Reporter {
  #tally = emptyTally();
  #passed = false;
  /** Checks that failed before vitest started (scripts/test.mjs): each counts as one failure of this run. */
  readonly #failedChecks = (process.env['WEFT_FAILED_CHECKS'] ?? '').split(' ').filter((name) => name !== '');

  onInit(): void {
    process.once('exit', (code) => {
      if (this.#failedChecks.length > 0) {
        process.stdout.write(`checks failed: ${this.#failedChecks.join(', ')}\n`);
        this.#tally.failed += this.#failedChecks.length;
        process.exitCode = code || 1;
      }
      process.stdout.write(closingLines(this.#tally, code !== 0 || !this.#passed));
    });
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[], reason: TestRunEndReason): void {
    this.#tally = { ...emptyTally(), failed: unhandled.length };
    for (const module of modules) addSuite(this.#tally, module, NO_REASON);
    this.#passed = reason === 'passed';
  }
}
