// `npm run suite -- interop`: flannel's own agent and plugins and ours in one cluster.
import { testWithServers } from '../published.mjs';

export function main(_values, args) {
  return testWithServers({
    args,
    command: 'npm run suite -- interop',
    programs: ['flanneld', 'cni'],
    servers: ['flanneld', 'etcd', 'kube-apiserver'],
    plugins: ['flannel', 'bridge', 'host-local', 'portmap', 'loopback'],
    suites: ['test/cluster/interop'],
  });
}
