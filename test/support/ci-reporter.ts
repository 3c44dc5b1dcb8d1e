// Ends every run with one line a person or a CI can read: `N passed, N failed[, N skipped]`, and before it why tests were skipped.
// Vitest counts the tests of a failed beforeAll as skipped and knows nothing of a file that could not be imported; both are failures here.
import process from 'node:process';
import type { Reporter, SerializedError, TestModule, TestRunEndReason, TestSuite } from 'vitest/node';

/** What one run came to; `reasons` maps why tests were skipped to how many. */
interface Tally {
  passed: number;
  failed: number;
  skipped: number;
  reasons: Map<string, number>;
}

const noReason = 'no reason given';

function count(tally: Tally, suite: TestModule | TestSuite): void {
  // A hook or an import that failed: its tests never ran, so the suite itself is what failed.
  tally.failed += suite.errors().length;
  for (const child of suite.children) {
    if (child.type === 'suite') {
      count(tally, child);
      continue;
    }
    const result = child.result();
    if (result.state === 'passed') tally.passed += 1;
    else if (result.state === 'failed') tally.failed += 1;
    else {
      tally.skipped += 1;
      const reason = (result.state === 'skipped' ? result.note : undefined) ?? noReason;
      tally.reasons.set(reason, (tally.reasons.get(reason) ?? 0) + 1);
    }
  }
}

/** Adds up a finished run. A run that did not pass never comes to `0 failed`, whatever made it fail. */
function tallyRun(
  modules: readonly TestModule[],
  unhandled: readonly SerializedError[],
  reason: TestRunEndReason,
): Tally {
  const tally: Tally = { passed: 0, failed: unhandled.length, skipped: 0, reasons: new Map() };
  for (const module of modules) count(tally, module);
  if (reason !== 'passed' && tally.failed === 0) tally.failed = 1;
  return tally;
}

/** The closing lines of a run: one for each reason tests were skipped, then the line of totals. */
function closingLines(tally: Tally): string[] {
  const lines = [...tally.reasons].map(([reason, tests]) => `skipped ${tests}: ${reason}`);
  const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : '';
  return [...lines, `${tally.passed} passed, ${tally.failed} failed${skipped}`];
}

/** A vitest reporter; written at process exit, because vitest prints its own summary and the coverage table after `onTestRunEnd`. */
export default class CiReporter implements Reporter {
  #lines: string[] = [];
  #registered = false;

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[], reason: TestRunEndReason): void {
    this.#lines = closingLines(tallyRun(modules, unhandled, reason));
    if (this.#registered) return;
    this.#registered = true;
    process.once('exit', () => process.stdout.write(`${this.#lines.join('\n')}\n`));
  }
}
