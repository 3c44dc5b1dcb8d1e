// Breaks every hop of a path in a lab, with one row for each fault. POD and FAR are the addresses of the pods, SUBNET is the subnet of the
// other node, BASE its first address, PEER its node's address, and VETH the device of the pod.

import type { FindingId } from '../../flanneld/doctor/catalog.ts';

export interface BrokenHop {
  readonly what: string;
  readonly make: string;
  /**
   * The command that ends the fault when the printed fix is not a command or does not undo everything; '' when only an agent can end it.
   */
  readonly undo?: string;
  readonly hop: string;
  readonly id: FindingId;
  /** Words that the evidence must contain. */
  readonly says: string;
}

export const BROKEN_HOPS: readonly BrokenHop[] = [
  {
    what: 'its device was taken from the bridge',
    make: 'ip link set VETH nomaster',
    hop: 'pod',
    id: 'pod-port-detached',
    says: 'no master',
  },
  { what: 'cni0 is down', make: 'ip link set cni0 down', hop: 'bridge', id: 'bridge-down', says: 'DOWN' },
  {
    what: 'cni0 has lost its address',
    make: 'ip addr flush dev cni0',
    hop: 'bridge',
    id: 'bridge-address-wrong',
    says: 'no address',
  },
  {
    what: 'forwarding is off',
    make: 'sysctl -qw net.ipv4.ip_forward=0',
    hop: 'forwarding',
    id: 'ip-forward-off',
    says: 'net.ipv4.ip_forward: 0',
  },
  {
    what: 'a longer route takes the packet',
    make: 'ip route add FAR via 192.168.50.1',
    hop: 'route',
    id: 'route-shadowed',
    says: 'dev eth0',
  },
  {
    what: 'a blackhole takes it',
    make: 'ip route add blackhole FAR',
    hop: 'route',
    id: 'route-shadowed',
    says: 'EINVAL',
  },
  {
    what: 'the route is gone',
    make: 'ip route del SUBNET',
    undo: '',
    hop: 'route',
    id: 'route-missing',
    says: 'EHOSTUNREACH',
  },
  {
    what: 'a rule leads it to another table',
    make: 'ip route add default via 192.168.50.1 table 100 && ip rule add to 10.244.0.0/16 lookup 100 priority 100',
    undo: 'ip rule del priority 100; ip rule del priority 99; ip route flush table 100',
    hop: 'route',
    id: 'policy-rule-diverts',
    says: 'table 100',
  },
  {
    what: 'a rule refuses it',
    make: 'ip rule add from POD blackhole priority 100',
    undo: 'ip rule del priority 100; ip rule del priority 99',
    hop: 'route',
    id: 'policy-rule-diverts',
    says: 'EINVAL',
  },
  {
    what: 'a rule of the firewall refuses it',
    make: `nft 'table inet some { chain pass { type filter hook forward priority 0; ip saddr POD drop; }; }'`,
    undo: 'nft delete table inet some',
    hop: 'rules',
    id: 'firewall-refuses-pods',
    says: 'chain inet some pass',
  },
  {
    what: 'the neighbour entry is gone',
    make: 'ip neigh del BASE dev flannel.1',
    hop: 'neighbour',
    id: 'peer-entry-missing',
    says: 'none',
  },
  {
    what: 'the FDB entry is gone',
    make: 'bridge fdb del $(ip neigh show BASE dev flannel.1 | cut -d" " -f3) dev flannel.1',
    hop: 'fdb',
    id: 'peer-entry-missing',
    says: 'none',
  },
  {
    what: 'the FDB entry leads elsewhere',
    make: 'bridge fdb replace $(ip neigh show BASE dev flannel.1 | cut -d" " -f3) dev flannel.1 dst 192.168.50.99 self permanent',
    hop: 'fdb',
    id: 'peer-entry-missing',
    says: 'dst 192.168.50.99',
  },
  {
    what: 'a rule refuses packets to the peer’s node',
    make: 'ip rule add to PEER prohibit priority 50',
    hop: 'underlay',
    id: 'policy-rule-diverts',
    says: 'EACCES',
  },
  {
    what: 'a rule drops the tunnel on its way out',
    make: `nft 'table inet some { chain out { type filter hook output priority 0; udp dport 8472 drop; }; }'`,
    undo: 'nft delete table inet some',
    hop: 'firewall',
    id: 'firewall-drops-tunnel',
    says: 'chain inet some out',
  },
  {
    what: 'the underlay carries less than the tunnel takes',
    make: 'ip link set eth0 mtu 1400',
    undo: 'ip link set eth0 mtu 1500',
    hop: 'mtu',
    id: 'path-mtu-too-small',
    says: 'eth0 1400',
  },
  {
    what: 'cni0 has another MTU',
    make: 'ip link set cni0 mtu 1300',
    hop: 'mtu',
    id: 'bridge-mtu-wrong',
    says: 'cni0 1300',
  },
];
