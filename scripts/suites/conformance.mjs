// `npm run suite -- conformance`: Kubernetes' own network tests (e2e.test) on kubelets of the lab, with Weft and with flannel.
import { RUNTIME_PACKAGES } from '../runtime-packages.mjs';
import { testSuite } from '../vitest-suite.mjs';

/** Debian's packages in the images of the tests. */
const TOOLS = { curl: 'curl', 'bind9-dnsutils': 'dig', 'netcat-openbsd': 'nc.openbsd' };

export function main(values) {
  return testSuite({
    values,
    command: 'npm run suite -- conformance',
    programs: ['flanneld', 'cni'],
    servers: [
      ...['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy', 'kubectl'],
      ...['e2e.test', 'agnhost', 'coredns', 'flanneld'],
    ],
    plugins: ['flannel', 'bridge', 'host-local', 'portmap', 'loopback'],
    packages: { ...RUNTIME_PACKAGES, ...TOOLS },
    files: ['test/cluster/conformance'],
  });
}
