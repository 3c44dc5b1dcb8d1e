// `npm run suite -- upgrade`: nodes of the previous release become this build and go back, under a flow (test/faults/upgrade.test.ts).
import { previousRelease } from '../release/previous.mjs';
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- upgrade',
    programs: ['flanneld', 'cni'],
    async prepare() {
      process.env['WEFT_PREVIOUS'] = await previousRelease();
    },
    files: ['test/faults/upgrade.test.ts'],
  });
}
