// `npm run suite -- doctor`: makes every problem that the doctor can find in a lab, and checks that it is found and that the printed fix
// ends it.
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- doctor',
    programs: ['flanneld', 'cni'],
    files: ['test/doctor'],
  });
}
