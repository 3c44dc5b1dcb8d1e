// A view of a node where nothing is wrong, for tests of the doctor's checks. Tests replace what they need.

import type { View } from '../../flanneld/doctor/view/view.ts';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import type { Link } from '../../lib/rtnetlink/link.ts';
import { IF_OPER_UP, IFF_LOWER_UP, IFF_RUNNING, IFF_UP } from '../../lib/rtnetlink/rtnetlink-constants.ts';

const UP = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;

function link(index: number, name: string, more: Partial<Link> = {}): Link {
  return { index, name, flags: UP, mtu: 1450, operState: IF_OPER_UP, ...more };
}

const ETH0 = link(2, 'eth0', { mtu: 1500 });
const FLANNEL = link(3, 'flannel.1', {
  kind: 'vxlan',
  mac: '02:00:00:00:00:01' as Mac,
  vxlan: { vni: 1, port: 8472, lowerIndex: 2, local: parseIp('192.168.50.11'), learning: false },
});
const CNI0 = link(4, 'cni0', { kind: 'bridge' });
const PORT = link(5, 'veth0000000a', { kind: 'veth', master: 4 });

export function healthyView(more: Partial<View> = {}): View {
  return {
    node: 'node-1',
    agent: { state: 'absent', why: 'not asked' },
    subnetFile: '/run/flannel/subnet.env',
    conf: undefined,
    leases: undefined,
    subnetEnv: { state: 'missing' },
    families: [
      {
        family: 4,
        network: parsePrefix('10.244.0.0/16'),
        subnet: parsePrefix('10.244.1.0/24'),
        publicIp: parseIp('192.168.50.11'),
        vtepMac: '02:00:00:00:00:01' as Mac,
        tunnel: { type: 'vxlan', device: 'flannel.1', vni: 1, port: 8472, overheadBytes: 50, link: FLANNEL },
        peers: [],
        problems: [],
      },
    ],
    kernel: { links: [ETH0, FLANNEL, CNI0, PORT], addresses: [], routes: [], neighs: [], fdb: [] },
    underlay: { name: 'eth0', link: ETH0, locals: [] },
    bridge: { name: 'cni0', link: CNI0, ports: [PORT] },
    paths: { diversions: [], refused: [] },
    podSide: undefined,
    pools: [],
    cni: {
      confDir: '/etc/cni/net.d',
      isInstalledByAgent: true,
      conflist: { state: 'right', value: '' },
      isWithdrawn: false,
      earlier: [],
      binDir: '/opt/cni/bin',
      missing: [],
      flannel: 'ours',
      unwritable: [],
    },
    tables: { connections: undefined, neighbours: undefined, chains: [], legacyRules: undefined, portUsers: [] },
    services: [],
    wireguard: [],
    nowMs: Date.parse('2026-01-01T00:01:00Z'),
    sysctls: new Map(),
    failures: [],
    ...more,
  };
}
