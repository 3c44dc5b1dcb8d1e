// `npm run suite -- doctor`: every problem the doctor names, made in a lab, named, and ended by the fix it prints.
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- doctor',
    programs: ['flanneld', 'cni'],
    files: ['test/doctor'],
  });
}
