// What runs of vitest came to: the closing line of one, and of two that .ci/run makes one of. A tally is what
// test/support/ci-reporter.ts writes: `tests`, each { file, names, state, reason }, and `failures` that are no test's.

/** Before what needs.machine says is missing. */
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

/** The tests that something the machine lacked kept from running. */
export function lacking({ tests }) {
  return tests.filter(({ state, reason }) => state === 'skipped' && reason.startsWith(NEEDS));
}

/** vitest's arguments that select exactly these. Tests of one name in two of the files are both selected. */
export function selection(tests) {
  const names = new Set(tests.map(({ names }) => names.join(' ').replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')));
  return [...new Set(tests.map(({ file }) => file)), '--testNamePattern', `^(${[...names].join('|')})$`];
}

/**
 * One tally of two rows: what the first could not run is what the second says it is, and nothing else of the second counts but its
 * failures. A test that the second was to run and does not know is a failure: a name that differs between two runs hides it.
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
