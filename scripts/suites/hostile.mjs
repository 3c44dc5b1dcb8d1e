// `npm run suite -- hostile`: calls of the CNI executable that no runtime makes (test/cni/hostile).
import { testSuite } from '../vitest-suite.mjs';

export function main(values) {
  return testSuite({
    values,
    command: 'npm run suite -- hostile',
    programs: ['cni'],
    files: ['test/cni/hostile/hostile.test.ts'],
  });
}
