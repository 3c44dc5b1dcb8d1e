// `npm run test:kubelet`: pods through kube-scheduler, kubelet and containerd on lab nodes. Arguments go to vitest.
import { testWithServers } from './published.mjs';
import { RUNTIME_PACKAGES } from './runtime-packages.mjs';

process.exitCode = testWithServers({
  command: 'npm run test:kubelet',
  programs: ['flanneld', 'cni'],
  servers: ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet'],
  packages: RUNTIME_PACKAGES,
  suites: ['test/kubelet'],
});
