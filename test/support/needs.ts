// What a test needs and may not find. Only what the npm scripts cannot install may be missing: such a test is skipped, its reason
// printed before the closing line. Anything else that is missing is a broken set-up, and the test fails: a skip would hide it.
import { TestRunner } from 'vitest';

/** Called inside a test or a beforeEach; both say `needs <what>`, the thing and where it was looked for. */
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
