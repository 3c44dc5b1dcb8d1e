// `npm run suite -- soak`: random faults on a lab of five nodes (test/faults/soak).
import { testSuite } from '../vitest-suite.mjs';

export function main(values) {
  return testSuite({
    values,
    command: 'npm run suite -- soak',
    programs: ['flanneld', 'cni'],
    files: ['test/faults/soak/soak.test.ts'],
  });
}
