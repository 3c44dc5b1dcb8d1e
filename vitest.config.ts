// Three test projects. `unit` needs nothing but Node. `root` talks to the real kernel in namespaces that each test makes, two files at a
// time. `alone` is the same for files that must not be disturbed, one at a time.
import { defineConfig } from 'vitest/config';
import { slowed } from './test/support/slowness.ts';

const sourceFolders = '{lib,flanneld,cni-plugin,bench,scripts}';

/** Set by scripts/vitest-suite.mjs, which runs the files that `npm test` leaves out. */
const isSuite = process.env['WEFT_SUITE'] !== undefined;
/** Files that take minutes, need programs that no script installs, or measure time. */
const leftOut = [
  'test/cluster/{bench,conformance,containerd,image,interop,kubelet,monitoring}/**',
  'test/cluster/stores/{etcd-faults,kube-agent,outages,silent-store,upstream-etcd}.test.ts',
  'test/cluster/api-server/{bundle-map,connectivity,thousand-nodes,kubectl-preflight}.test.ts',
  'test/cni/{stress/stress,kill/kill}.test.ts',
  'test/faults/{faults,upgrade}.test.ts',
  'test/root/{agent-faults,agent-systemd,bench-delay}.test.ts',
  'test/doctor/every-*.test.ts',
  'test/e2e/real-firewalls.test.ts',
  'test/{fastpath,probes,kernels,machines}/**',
];

/** Files that count lost packets or measure time, and files that look for what is left on the whole machine. */
const alone = [
  'test/faults/**/*.test.ts',
  'test/cni/{stress,kill}/**/*.test.ts',
  'test/cluster/{bench,conformance,containerd,image,interop,kubelet,monitoring}/**/*.test.ts',
  'test/cluster/stores/{etcd-faults,node-address,outages,silent-store,upstream-etcd}.test.ts',
  'test/doctor/every-*.test.ts',
  'test/{fastpath,probes,kernels,machines}/**/*.test.ts',
  'test/e2e/{lab-direct-routing,lab-probes,lab-start,node-address,node-address-dual}.test.ts',
  'test/lab/lifecycle.test.ts',
  'test/root/{agent-faults,agent-systemd,bench-*,events}.test.ts',
];
const excluded = ['**/node_modules/**', '**/dist/**', ...(isSuite ? [] : leftOut)];
const ofTheKernel = { testTimeout: slowed(60_000), hookTimeout: slowed(60_000) };

export default defineConfig({
  test: {
    exclude: excluded,
    reporters: ['default', './test/support/ci-reporter.ts'],
    pool: 'forks',
    passWithNoTests: false,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: [
            `${sourceFolders}/**/*.test.ts`,
            'test/*.test.ts',
            'test/{support,cni/conformance,cluster/manifests}/**/*.test.ts',
          ],
        },
      },
      {
        extends: true,
        test: {
          name: 'root',
          include: [
            'test/{root,lab,e2e,doctor}/**/*.test.ts',
            'test/cni/hostile/**/*.test.ts',
            'test/cluster/{stores,api-server}/**/*.test.ts',
          ],
          exclude: [...excluded, ...alone],
          // Files share no part of the kernel but its processors. They wait for agents most of the time, and so two fill two processors.
          maxWorkers: 2,
          // After the unit tests, so that load does not disturb them.
          sequence: { groupOrder: 1 },
          ...ofTheKernel,
        },
      },
      {
        extends: true,
        test: {
          name: 'alone',
          include: alone,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          ...ofTheKernel,
        },
      },
    ],
    coverage: { include: ['{lib,flanneld,cni-plugin}/**/*.ts'], exclude: ['**/*.test.ts'] },
  },
});
