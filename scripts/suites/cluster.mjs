// `npm run suite -- cluster`: tests the stores on published servers.
import { testWithServers } from '../published.mjs';

export function main(_values, args) {
  return testWithServers({
    args,
    command: 'npm run suite -- cluster',
    programs: ['flanneld', 'cni'],
    servers: ['etcd', 'kube-apiserver'],
    suites: ['flanneld/subnet', 'test/cluster/stores', 'test/cluster/api-server'],
  });
}
