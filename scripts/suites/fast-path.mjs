// `npm run suite -- fast-path`: the fast path under switching, kills and everything that the kernel tracks (test/fastpath).
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- fast-path',
    programs: ['flanneld', 'cni'],
    files: ['test/fastpath'],
  });
}
