// `npm run suite -- containerd`: pods through a real containerd on lab nodes (test/cluster/containerd). The machine's own containerd
// service is never started: every node runs one of its own.
import { RUNTIME_PACKAGES } from '../runtime-packages.mjs';
import { testSuite } from '../vitest-suite.mjs';

export function main(values) {
  return testSuite({
    values,
    command: 'npm run suite -- containerd',
    programs: ['flanneld', 'cni'],
    packages: { ...RUNTIME_PACKAGES, iperf3: 'iperf3' },
    files: ['test/cluster/containerd/containerd.test.ts'],
  });
}
