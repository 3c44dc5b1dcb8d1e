// `npm run suite -- kubelet`: runs pods through kube-scheduler, kubelet and containerd on lab nodes, and replaces flannel's
// DaemonSet there by ours.

import { RUNTIME_PACKAGES } from '../runtime-packages.mjs';
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- kubelet',
    programs: ['flanneld', 'cni', 'kubectl-weft'],
    servers: ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kubectl', 'flanneld'],
    plugins: ['flannel', 'bridge', 'host-local', 'portmap', 'loopback'],
    packages: RUNTIME_PACKAGES,
    files: ['test/cluster/kubelet'],
  });
}
