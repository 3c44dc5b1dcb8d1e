// `npm run suite -- bench-cluster`: the bench of a cluster on kubelets of the lab, with Weft and with flannel.
import { RUNTIME_PACKAGES } from '../runtime-packages.mjs';
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- bench-cluster',
    programs: ['flanneld', 'cni'],
    servers: [
      ...['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy', 'kubectl'],
      'flanneld',
    ],
    plugins: ['flannel', 'bridge', 'host-local', 'portmap', 'loopback'],
    packages: RUNTIME_PACKAGES,
    files: ['test/cluster/bench'],
  });
}
