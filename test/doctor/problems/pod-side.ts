// Problems of the pods' bridge and its ports.

import type { Problem } from './problem.ts';

const PORT = "$(ip -br link show master cni0 | sed -n 's/@.*//p' | head -1)";

export const POD_SIDE_PROBLEMS: readonly Problem[] = [
  {
    id: 'bridge-down',
    how: 'set down',
    agent: 'is stopped',
    make: 'ip link set cni0 down',
    end: 'fix',
    says: ['cni0 was down', 'ip link set cni0 up'],
  },
  {
    id: 'bridge-mtu-wrong',
    how: 'smaller',
    agent: 'is stopped',
    make: 'ip link set cni0 mtu 1300',
    end: 'fix',
    says: ['had MTU 1300', 'ip link set cni0 mtu 1450'],
  },
  {
    id: 'pod-mtu-stale',
    how: 'the network has become smaller',
    agent: 'is stopped',
    make: 'ip link set flannel.1 mtu 1400',
    end: 'ip link set flannel.1 mtu 1450',
    says: ['1450', 'kubectl drain'],
  },
  {
    id: 'bridge-address-wrong',
    how: 'of another subnet',
    agent: 'is stopped',
    make: 'ip addr save dev cni0 to 0.0.0.0/0 > /run/cni0 && ip -4 addr flush dev cni0 && ip addr add 10.244.249.1/24 dev cni0',
    end: 'ip -4 addr flush dev cni0 && ip addr restore < /run/cni0',
    says: ['10.244.249.1/24', 'kubectl drain'],
  },
  {
    id: 'bridge-address-wrong',
    how: 'none',
    agent: 'is stopped',
    make: 'ip -4 addr flush dev cni0',
    end: 'fix',
    says: ['missing', 'ip addr add'],
  },
  {
    id: 'hairpin-off',
    how: 'switched off',
    agent: 'is stopped',
    make: `bridge link set dev ${PORT} hairpin off`,
    end: 'fix',
    says: ['had hairpin off', 'hairpin on'],
  },
  {
    id: 'pod-port-detached',
    how: 'taken from the bridge',
    agent: 'is stopped',
    make: `ip link set ${PORT} nomaster`,
    end: 'fix',
    says: ['was not on cni0', 'master cni0'],
  },
  {
    id: 'pod-port-detached',
    how: 'blocked',
    agent: 'is stopped',
    make: `bridge link set dev ${PORT} state 0`,
    end: 'fix',
    says: ['state 0', 'state 3'],
  },
  {
    id: 'bridge-nf-call-off',
    how: 'with kube-proxy',
    agent: 'runs',
    make: 'iptables-nft -t nat -N KUBE-SERVICES && sysctl -qw net.bridge.bridge-nf-call-iptables=0',
    end: 'fix',
    after: 'iptables-nft -t nat -X KUBE-SERVICES',
    says: ['net.bridge.bridge-nf-call-iptables'],
  },
];
