// `npm run suite -- faults`: what faults, restarts and upgrades cost a flow (test/faults), on a lab of two nodes.
import { testSuite } from '../vitest-suite.mjs';

export function main(values) {
  return testSuite({
    values,
    command: 'npm run suite -- faults',
    programs: ['flanneld', 'cni'],
    files: ['test/faults/faults.test.ts'],
  });
}
