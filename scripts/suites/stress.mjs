// `npm run suite -- stress`: the CNI executable under stress (test/cni/stress).
import { testSuite } from '../vitest-suite.mjs';

export function main(values) {
  return testSuite({
    values,
    command: 'npm run suite -- stress',
    programs: ['cni'],
    files: ['test/cni/stress/stress.test.ts'],
  });
}
