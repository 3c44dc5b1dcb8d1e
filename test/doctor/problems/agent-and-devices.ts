// Problems of the agent, the kernel's settings and the devices.

import { SUBNET_FILE } from '../../lab/contract.ts';
import type { Problem } from './problem.ts';

export const AGENT_PROBLEMS: readonly Problem[] = [
  { id: 'agent-not-running', how: 'killed', agent: 'is killed', end: 'restart', says: ['no process of flanneld'] },
  {
    id: 'agent-unresponsive',
    how: 'stopped by SIGSTOP',
    agent: 'is stopped',
    end: 'fix',
    says: ['state T', 'kill -CONT'],
  },
  {
    id: 'agent-not-ready',
    how: 'without its status socket',
    agent: 'runs',
    make: `rm ${SUBNET_FILE}.sock`,
    end: 'restart',
    says: ['cannot be asked', 'ENOENT'],
  },
];

/**
 * Fills the node's table of connections up to the kernel's limit, by UDP packets to a device that loses them. The limit is set for the
 * whole machine, but each network namespace is counted separately.
 */
const FILL_CONNECTIONS = `ip link add sink type veth peer name drain && ip addr add 198.51.100.1/24 dev sink && ip link set sink up && ip link set drain up
ip neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev sink nud permanent
python3 - <<'END'
import socket
limit = int(open('/proc/sys/net/netfilter/nf_conntrack_max').read())
count = lambda: int(open('/proc/sys/net/netfilter/nf_conntrack_count').read())
while count() < 0.995 * limit:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for port in range(1, 65536):
        try:
            s.sendto(b'', ('198.51.100.2', port))
        except OSError:
            pass
END`;

export const KERNEL_PROBLEMS: readonly Problem[] = [
  {
    id: 'conntrack-full',
    how: 'by UDP packets to closed ports',
    agent: 'runs',
    needs: 'python3 -c "import socket"',
    make: FILL_CONNECTIONS,
    end: 'ip link del sink; sleep 35',
    after: 'ip link del sink 2>/dev/null; true',
    says: ['of connections', 'sysctl -w net.netfilter.nf_conntrack_max='],
  },
  {
    id: 'ip-forward-off',
    how: 'for all',
    agent: 'runs',
    make: 'sysctl -qw net.ipv4.ip_forward=0',
    end: 'fix',
    says: ['net.ipv4.ip_forward is 0'],
  },
  {
    id: 'ip-forward-off',
    how: 'for one device, while the agent is stopped',
    agent: 'is stopped',
    make: 'sysctl -qw net.ipv4.conf.flannel/1.forwarding=0',
    end: 'fix',
    says: ['net.ipv4.conf.flannel/1.forwarding is 0'],
  },
  {
    id: 'rp-filter-strict',
    how: 'a way back by another device',
    agent: 'runs',
    make: 'ip link add other type veth peer name other2 && ip addr add 172.31.9.1/24 dev other && ip link set other up && ip link set other2 up && ip route add 192.168.50.12/32 dev other && sysctl -qw net.ipv4.conf.eth0.rp_filter=1',
    end: 'fix',
    after: 'sysctl -qw net.ipv4.conf.eth0.rp_filter=0; ip link del other',
    says: ['net.ipv4.conf.eth0.rp_filter is 1', '192.168.50.12'],
  },
  {
    id: 'device-missing',
    how: 'deleted while no agent runs',
    agent: 'is killed',
    make: 'ip link del flannel.1',
    end: 'restart',
    says: ['flannel.1'],
  },
  {
    id: 'device-missing',
    how: 'down',
    agent: 'is killed',
    make: 'ip link set flannel.1 down',
    end: 'fix',
    says: ['flannel.1 is down', 'ip link set flannel.1 up'],
  },
  {
    id: 'device-missing',
    how: 'without its address',
    agent: 'is killed',
    make: 'ip addr flush dev flannel.1 scope global',
    end: 'fix',
    says: ['ip addr add'],
  },
  {
    id: 'vtep-mac-mismatch',
    how: 'of the own device',
    agent: 'is killed',
    make: 'ip link set flannel.1 address 02:00:00:00:00:77',
    end: 'fix',
    says: ['02:00:00:00:00:77'],
  },
  {
    id: 'vxlan-port-taken',
    how: 'by another device',
    agent: 'is killed',
    make: 'ip link del flannel.1 && ip link add rival type vxlan id 1 dstport 8472 dev eth0 local 192.168.50.11',
    end: 'fix',
    says: ['rival', 'ip link del rival'],
  },
  {
    id: 'vxlan-port-taken',
    how: 'by a program',
    agent: 'is killed',
    make: `ip link del flannel.1 && (setsid node -e 'require("dgram").createSocket("udp4").bind(8472)' >/dev/null 2>&1 & echo $! > /run/taker) && sleep 1`,
    end: 'kill $(cat /run/taker)',
    after: 'kill $(cat /run/taker) 2>/dev/null; true',
    says: ['UDP port 8472 is used by node', 'process'],
  },
  {
    id: 'underlay-down',
    how: 'set down',
    agent: 'runs',
    make: 'ip link set eth0 down',
    end: 'fix',
    after: 'ip link set eth0 up; ip route replace default via 192.168.50.1 dev eth0',
    says: ['eth0 is down', 'ip link set eth0 up'],
  },
  {
    id: 'underlay-down',
    how: 'without its address',
    agent: 'is stopped',
    make: 'ip addr del 192.168.50.11/24 dev eth0',
    end: 'ip addr add 192.168.50.11/24 dev eth0 && ip route replace default via 192.168.50.1 dev eth0',
    says: ['eth0 does not have the address 192.168.50.11'],
  },
];
