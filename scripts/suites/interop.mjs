// `npm run suite -- interop`: flannel's own agent and plugins and ours in one cluster.
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- interop',
    programs: ['flanneld', 'cni'],
    servers: ['flanneld', 'etcd', 'kube-apiserver'],
    plugins: ['flannel', 'bridge', 'host-local', 'portmap', 'loopback'],
    files: ['test/cluster/interop'],
  });
}
