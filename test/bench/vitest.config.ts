// For `npm run bench -- selftest`, which tests that the bench notices a delay put in on purpose. No part of `npm test`, since it
// measures time.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: ['test/bench/*.test.ts', 'test/root/bench-*.test.ts'],
    reporters: ['default', './test/support/ci-reporter.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
