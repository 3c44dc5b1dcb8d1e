// `npm run suite -- machines`: a cluster of virtual machines, each with another of Debian's stock kernels (test/machines).
import { PACKAGES, SLOWNESS } from '../kernels/vm.mjs';
import { previousRelease } from '../release/previous.mjs';
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- machines',
    programs: ['flanneld', 'cni'],
    servers: ['etcd'],
    packages: PACKAGES,
    async prepare() {
      process.env['WEFT_PREVIOUS'] = await previousRelease();
      process.env['WEFT_TEST_SLOWNESS'] = String(SLOWNESS);
    },
    files: ['test/machines'],
  });
}
