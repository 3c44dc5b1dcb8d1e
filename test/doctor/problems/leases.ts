// Problems in the store of leases.

import { LEASE_FOLDER } from '../../lab/contract.ts';
import type { Problem } from './problem.ts';

/** A lease in the store of the lab, as another node would write it. */
function lease(name: string, subnet: string, publicIp: string, mac: string, vni = 1, type = 'vxlan'): string {
  const json = { Subnet: subnet, PublicIP: publicIp, BackendType: type, BackendData: { VNI: vni, VtepMAC: mac } };
  return `echo '${JSON.stringify(json)}' > ${LEASE_FOLDER}/${name}.json`;
}

const noLease = (name: string): string => `rm -f ${LEASE_FOLDER}/${name}.json`;

const PROBLEMS: readonly Problem[] = [
  {
    id: 'public-ip-conflict',
    how: 'with a peer',
    agent: 'runs',
    make: lease('node-8', '10.244.200.0/24', '192.168.50.12', '02:00:00:00:00:08'),
    end: noLease('node-8'),
    says: ['node-8', 'node-2', '192.168.50.12'],
  },
  {
    id: 'public-ip-conflict',
    how: 'with this node',
    agent: 'runs',
    make: lease('node-8', '10.244.200.0/24', '192.168.50.11', '02:00:00:00:00:08'),
    end: noLease('node-8'),
    says: ['node-8', '192.168.50.11'],
  },
  {
    id: 'vtep-mac-conflict',
    how: 'a copied machine',
    agent: 'runs',
    make: `${lease('node-8', '10.244.200.0/24', '192.168.50.98', 'CLONE')} && sed -i s/CLONE/$(cat /sys/class/net/flannel.1/address)/ ${LEASE_FOLDER}/node-8.json`,
    end: noLease('node-8'),
    says: ['node-8', 'node-1'],
  },
  {
    id: 'subnet-conflict',
    how: 'two other nodes',
    agent: 'runs',
    make: `${lease('node-7', '10.244.200.0/24', '192.168.50.97', '02:00:00:00:00:07')}; sleep 0.1; ${lease('node-8', '10.244.200.0/24', '192.168.50.98', '02:00:00:00:00:08')}`,
    end: `${noLease('node-7')}; ${noLease('node-8')}`,
    says: ['node-7', 'node-8', '10.244.200.0/24'],
  },
  {
    id: 'peer-vni-differs',
    how: 'another VNI',
    agent: 'runs',
    make: lease('node-8', '10.244.200.0/24', '192.168.50.98', '02:00:00:00:00:08', 9),
    end: noLease('node-8'),
    says: ['VNI 9', 'node-8'],
  },
  {
    id: 'network-config-differs',
    how: 'another network',
    agent: 'runs',
    make: lease('node-8', '10.99.0.0/24', '192.168.50.98', '02:00:00:00:00:08'),
    end: noLease('node-8'),
    says: ['10.99.0.0/24', 'node-8'],
  },
  {
    id: 'network-config-differs',
    how: 'another backend',
    agent: 'runs',
    make: lease('node-8', '10.244.200.0/24', '192.168.50.98', '02:00:00:00:00:08', 1, 'host-gw'),
    end: noLease('node-8'),
    says: ['host-gw', 'node-8'],
  },
  {
    id: 'lease-unusable',
    how: 'unreadable',
    agent: 'runs',
    make: `echo nonsense > ${LEASE_FOLDER}/node-8.json`,
    end: noLease('node-8'),
    says: ['node-8'],
  },
  {
    id: 'public-ip-not-local',
    how: 'another address',
    agent: 'is killed',
    make: `sed -i.kept 's/192.168.50.11"/192.168.50.99"/' ${LEASE_FOLDER}/node-1.json`,
    end: 'restart',
    says: ['192.168.50.99'],
  },
];

/** No lease may stay for the next row, even after a failure. */
export const LEASES_PROBLEMS = PROBLEMS.map((problem) => ({
  ...problem,
  after: `${noLease('node-7')}; ${noLease('node-8')}`,
}));
