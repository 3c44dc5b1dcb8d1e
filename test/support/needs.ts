// Declares what a test needs from the machine. If something is missing that the npm scripts cannot install, the test is skipped and the
// reason is printed before the closing line. If anything else is missing, the set-up is broken and the test fails, because a skip
// would hide that.
import { TestRunner } from 'vitest';

/** Both are called in a test or a beforeEach. `what` names the thing and where it was looked for. */
export const needs = { machine, setUp };

/**
 * Skips the running test, also in CI, unless `found`. For a kernel feature, another architecture's files or a published
 * executable that test/README.md names; an error that merely looks like a missing feature must not come here.
 */
function machine(found: boolean, what: string): void {
  if (found) return;
  const test = TestRunner.getCurrentTest();
  if (test === undefined)
    throw new Error(`needs.machine('${what}') is called outside a test: call it in the test or in beforeEach`);
  test.context.skip(`needs ${what}`);
}

/** Fails the running test unless `found`. For whatever `npm run setup` and `npm run build` provide, and for being root. */
function setUp(found: boolean, what: string): void {
  if (!found) throw new Error(`needs ${what}: set-up is incomplete, run npm test or npm run setup`);
}
