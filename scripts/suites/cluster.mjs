// `npm run suite -- cluster`: tests the stores on published servers.
import { testSuite } from '../vitest-suite.mjs';

export function main(_values, args) {
  return testSuite({
    args,
    command: 'npm run suite -- cluster',
    programs: ['flanneld', 'cni', 'kubectl-weft'],
    servers: ['etcd', 'kube-apiserver'],
    files: ['flanneld/subnet', 'test/cluster/stores', 'test/cluster/api-server'],
  });
}
