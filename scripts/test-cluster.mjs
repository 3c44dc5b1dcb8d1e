// `npm run test:cluster`: the tests of the stores against published servers. Arguments go to vitest.
import { testWithServers } from './published.mjs';

process.exitCode = testWithServers({
  command: 'npm run test:cluster',
  programs: ['flanneld'],
  servers: ['etcd', 'kube-apiserver'],
  suites: ['test/subnet', 'test/cluster'],
});
