// `npm run test:interop`: flannel's own agent and plugins and ours in one cluster. Arguments go to vitest.
import { testWithServers } from './published.mjs';

process.exitCode = testWithServers({
  command: 'npm run test:interop',
  programs: ['flanneld', 'cni'],
  servers: ['flanneld', 'etcd', 'kube-apiserver'],
  plugins: ['flannel', 'bridge', 'host-local', 'portmap', 'loopback'],
  suites: ['test/interop'],
});
