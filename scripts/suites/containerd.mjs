// `npm run suite -- containerd`: pods through a real containerd on lab nodes (test/cluster/containerd). The machine's own containerd
// service is never started: every node runs one of its own.
import { fetchDebianPackages } from '../debian.mjs';
import { RUNTIME_PACKAGES } from '../runtime-packages.mjs';
import { testSuite } from '../vitest-suite.mjs';

export async function main({ newer, ...values }) {
  if (newer) await putNewerFirst();
  return testSuite({
    values,
    command: 'npm run suite -- containerd',
    programs: ['flanneld', 'cni'],
    packages: { ...RUNTIME_PACKAGES, iperf3: 'iperf3' },
    files: ['test/cluster/containerd/containerd.test.ts'],
  });
}

/** Nodes find containerd in PATH, and containerd finds its shim in its own folder. */
async function putNewerFirst() {
  const { containerd } = await fetchDebianPackages(['containerd'], process.arch === 'x64' ? 'amd64' : process.arch);
  process.env['PATH'] = `${containerd.folder}/usr/bin:${process.env['PATH']}`;
}
