// `npm run bench -- selftest`: whether the bench sees what is done to it. Not part of `npm test`: it measures time.
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
