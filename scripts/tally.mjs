// Sums up runs of vitest: makes the closing line of one run, and joins the two runs of .ci/run. test/support/ci-reporter.ts writes a tally:
// `tests`, each { file, names, state, reason }, and `failures` that belong to no test.

/** The word with which needs.machine begins its reason. */
const NEEDS = 'needs ';

/** The last lines of the output: why tests were skipped, then the totals. */
export function closingLines({ failures, tests }) {
  const reasons = new Map();
  const skipped = tests.filter(({ state }) => state === 'skipped');
  for (const { reason } of skipped) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const count = (state) => tests.filter((test) => test.state === state).length;
  const lines = [...reasons].map(([reason, times]) => `skipped ${times}: ${reason}`);
  const totals = `${count('passed')} passed, ${count('failed') + failures} failed`;
  return `${[...lines, skipped.length > 0 ? `${totals}, ${skipped.length} skipped` : totals].join('\n')}\n`;
}

export function hasFailed({ failures, tests }) {
  return failures > 0 || tests.some(({ state }) => state === 'failed');
}

/** The tests that were skipped because the machine lacks something. */
export function lacking({ tests }) {
  return tests.filter(({ state, reason }) => state === 'skipped' && reason.startsWith(NEEDS));
}

/** The vitest arguments that select these tests. If two of the files have a test of the same name, both are selected. */
export function selection(tests) {
  const names = new Set(tests.map(({ names }) => names.join(' ').replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')));
  return [...new Set(tests.map(({ file }) => file)), '--testNamePattern', `^(${[...names].join('|')})$`];
}

/**
 * Joins the tallies of two rows. For tests that the first row had to skip, the second row's result counts; otherwise only failures
 * of the second row count. A skipped test that is missing in the second row is a failure, because its name may differ between
 * runs, and then it would never run.
 */
export function joinRows(first, second) {
  const key = ({ file, names }) => JSON.stringify([file, names]);
  const again = new Map(second.tests.map((test) => [key(test), test]));
  const wanted = new Set(lacking(first));
  const tests = first.tests.map((test) => {
    if (!wanted.has(test)) return test;
    const found = again.get(key(test));
    const isKnown = found !== undefined && (found.state !== 'skipped' || found.reason.startsWith(NEEDS));
    return isKnown ? found : { ...test, state: 'failed', reason: undefined };
  });
  const others = second.tests.filter((test) => test.state === 'failed' && !tests.includes(test));
  return { failures: first.failures + second.failures + others.length, tests };
}
