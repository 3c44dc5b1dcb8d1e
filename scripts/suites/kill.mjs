// `npm run suite -- kill`: the CNI executable killed at every system call it makes (test/cni/kill).
import { testSuite } from '../vitest-suite.mjs';

export function main(values) {
  return testSuite({
    values,
    command: 'npm run suite -- kill',
    programs: ['cni'],
    files: ['test/cni/kill/kill.test.ts'],
  });
}
