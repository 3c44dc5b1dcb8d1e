// Two test projects: `unit` needs nothing but Node; `root` talks to the real kernel in namespaces it makes itself.
import { defineConfig } from 'vitest/config';

const sourceFolders = '{lib,flanneld,cni-plugin,bench,scripts}';

/** Set by scripts/vitest-suite.mjs, which runs the files that `npm test` leaves out. */
const isSuite = process.env['WEFT_SUITE'] !== undefined;
/** Files that take minutes, need programs that no script installs, or measure time. */
const leftOut = [
  'test/cluster/{containerd,image,interop,kubelet}/**',
  'test/cluster/stores/{etcd-faults,kube-agent,outages,upstream-etcd}.test.ts',
  'test/cni/{stress/stress,kill/kill}.test.ts',
  'test/faults/faults.test.ts',
  'test/root/{agent-faults,agent-systemd,bench-delay}.test.ts',
  'test/doctor/every-*.test.ts',
  'test/probes/**',
];

export default defineConfig({
  test: {
    // Compiled or fixture copies must not run a second time.
    exclude: ['**/node_modules/**', '**/dist/**', 'test/fixtures/**', ...(isSuite ? [] : leftOut)],
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
            'test/{root,lab,faults,e2e,doctor,probes}/**/*.test.ts',
            'test/cni/{stress,kill,hostile}/**/*.test.ts',
            'test/cluster/{stores,api-server,containerd,image,interop,kubelet}/**/*.test.ts',
          ],
          // The kernel is shared: one file at a time, after the unit tests, so that load does not disturb them.
          fileParallelism: false,
          sequence: { groupOrder: 1 },
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
    coverage: { include: ['{lib,flanneld,cni-plugin}/**/*.ts'], exclude: ['**/*.test.ts'] },
  },
});
