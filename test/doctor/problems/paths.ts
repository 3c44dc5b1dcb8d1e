// Problems that divert packets.

import type { Problem } from './problem.ts';

const OTHER = '$(ip route show proto 138 | sed -n "s#^\\(10[^ ]*\\) .*#\\1#p" | head -1)';

export const PATHS_PROBLEMS: readonly Problem[] = [
  {
    id: 'route-missing',
    how: 'deleted while no agent runs',
    agent: 'is killed',
    make: `ip route del ${OTHER}`,
    end: 'fix',
    says: ['node-2', 'ip route replace'],
  },
  {
    id: 'peer-entry-missing',
    how: 'neighbour and FDB entry deleted',
    agent: 'is killed',
    make: 'ip neigh flush dev flannel.1 nud permanent; for mac in $(bridge fdb show dev flannel.1 | cut -d" " -f1); do bridge fdb del $mac dev flannel.1; done',
    end: 'fix',
    says: ['no neighbour', 'bridge fdb replace'],
  },
  {
    id: 'route-shadowed',
    how: 'by half of the subnet',
    agent: 'runs',
    make: 'half=$(ip route show proto 138 | sed -n "s#\\([0-9.]*\\)\\.0/24 .*#\\1.128/25#p" | head -1) && ip route add $half via 192.168.50.1 dev eth0',
    end: 'fix',
    says: ['/25', 'node-2', 'ip route del'],
  },
  {
    id: 'route-shadowed',
    how: 'by a blackhole',
    agent: 'runs',
    make: 'half=$(ip route show proto 138 | sed -n "s#\\([0-9.]*\\)\\.0/24 .*#\\1.64/26#p" | head -1) && ip route add blackhole $half',
    end: 'fix',
    says: ['blackhole', 'node-2'],
  },
  {
    id: 'policy-rule-diverts',
    how: 'to another table',
    agent: 'runs',
    make: 'ip route add default via 192.168.50.1 dev eth0 table 77 && ip rule add to 10.244.0.0/16 lookup 77 priority 100',
    end: 'fix',
    after: 'ip rule del priority 100; ip rule del priority 99; ip route flush table 77',
    says: ['ip rule 100', 'ip rule add to 10.244.0.0/16 lookup main priority 99'],
  },
  {
    id: 'policy-rule-diverts',
    how: 'packets of the tunnel prohibited',
    agent: 'runs',
    make: 'ip rule add to 192.168.50.12 prohibit priority 50',
    end: 'fix',
    says: ['prohibit', 'ip rule del priority 50'],
  },
  {
    id: 'network-overlap',
    how: 'docker0 in the pod network',
    agent: 'runs',
    make: 'ip link add docker0 type bridge && ip addr add 10.244.250.1/24 dev docker0 && ip link set docker0 up',
    end: 'ip link del docker0',
    says: ['docker0', 'bip'],
  },
  {
    id: 'service-cidr-overlap',
    how: 'the API server’s Service in the pod network',
    agent: 'runs',
    env: { KUBERNETES_SERVICE_HOST: '10.244.0.1' },
    end: 'true',
    says: ['Service 10.244.0.1 (KUBERNETES_SERVICE_HOST)', '--service-cluster-ip-range'],
  },
  {
    id: 'object-fought-over',
    how: 'a program that deletes a route again and again',
    agent: 'runs',
    make: `route=${OTHER}; touch /run/fight; (while [ -e /run/fight ]; do ip route del $route; sleep 0.3; done) >/dev/null 2>&1 &`,
    end: 'rm /run/fight',
    after: 'rm -f /run/fight',
    says: ['route of node-2', 'times in the last 10 s'],
  },
];
