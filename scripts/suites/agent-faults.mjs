// `npm run suite -- agent-faults`: exceptions, stalls and missing resources injected into the built agent under a flow.
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- agent-faults',
    programs: ['flanneld', 'cni'],
    files: ['test/root/agent-faults.test.ts', 'test/root/agent-systemd.test.ts'],
  });
}
