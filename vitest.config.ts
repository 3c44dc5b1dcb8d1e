// Two test projects: `unit` needs nothing but Node; `root` talks to the real kernel in namespaces it makes itself.
import { defineConfig } from 'vitest/config';

const sourceFolders = '{lib,flanneld,cni-plugin,bench,scripts}';

/** Minutes long, or of programs no script installs: the suites cluster, image, interop, kubelet and agent-faults set it. */
const withServers = process.env['WEFT_WITH_SERVERS'] === '1';
const ofServers = [
  ...['test/image/**', 'test/interop/**', 'test/kubelet/**'],
  'test/cluster/{etcd-faults,outages,upstream-etcd}.test.ts',
  'test/root/agent-faults.test.ts',
];

export default defineConfig({
  test: {
    // Compiled or fixture copies must not run a second time.
    exclude: ['**/node_modules/**', '**/dist/**', 'test/fixtures/**', ...(withServers ? [] : ofServers)],
    reporters: ['default', './test/support/ci-reporter.ts'],
    pool: 'forks',
    passWithNoTests: false,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: [`${sourceFolders}/**/*.test.ts`, 'test/{unit,support,subnet,manifests}/**/*.test.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'root',
          include: ['test/{root,lab,probe,faults,soak,e2e,cluster,image,interop,kubelet}/**/*.test.ts'],
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
