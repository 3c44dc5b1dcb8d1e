// Every problem that a finding can name: its id, its usual severity, how a user notices it, what it means, and how it is solved in general.
// The finding itself has the exact command. Ids never change, because scripts and alerts use them.

import type { CatalogEntry } from './catalog-entry.ts';
import { PATH_CATALOG, PREFLIGHT_CATALOG } from './catalog-more.ts';

export const CATALOG = {
  'agent-not-running': {
    severity: 'error',
    symptom: 'pods here do not reach nodes that are new or have changed',
    meaning: 'no agent runs on this node, so nothing follows the cluster or repairs what other programs change',
    fix: 'start the agent; the last line of its log (`kubectl logs -p`) says why it ended',
  },
  'agent-unresponsive': {
    severity: 'error',
    symptom: 'pods here do not reach nodes that are new or have changed; `flanneld status` gets no answer',
    meaning: 'the agent has a status socket and does not answer: it is stopped, swapped out or stuck',
    fix: 'restart the agent; process state T means that somebody has stopped it with a signal',
  },
  'agent-not-ready': {
    severity: 'warning',
    symptom: 'the node is not ready, or its DaemonSet pod is not',
    meaning: 'the agent runs and says what it waits for',
    fix: 'end the reason that the evidence names; `flanneld status` lists all reasons',
  },
  'tunnel-port-blocked': {
    severity: 'error',
    symptom: 'pods of two nodes do not reach each other and DNS fails on some nodes, but the nodes reach each other',
    meaning: 'a security group, a firewall or NSX between the nodes drops packets to the tunnel’s UDP port',
    fix: 'open the UDP port between the nodes in both directions; where NSX keeps 8472 for itself, set `"Port": 4789`',
  },
  'tunnel-one-way': {
    severity: 'error',
    symptom: 'connections between pods of two nodes hang',
    meaning: 'the network drops packets to the tunnel’s UDP port in one direction only',
    fix: 'open the UDP port in the direction that the finding names',
  },
  'wireguard-no-handshake': {
    severity: 'error',
    symptom: 'pods of two nodes do not reach each other with the backend wireguard',
    meaning:
      'the nodes complete no handshake, because the UDP port is blocked or their keys or preshared keys do not match',
    fix: 'open the UDP port in both directions; compare `wg show` on both nodes with the leases, and `"PSK"` in net-conf',
  },
  'wireguard-key-mismatch': {
    severity: 'error',
    symptom: 'nobody reaches the pods of this node with the backend wireguard',
    meaning: 'the WireGuard device has another key than the one that this node’s lease publishes',
    fix: 'restart the agent of this node, which publishes its key again',
  },
  'wireguard-endpoint-moved': {
    severity: 'info',
    symptom: 'none, as long as packets pass',
    meaning:
      'packets of another node come from an address that its lease does not name, which is only right behind NAT',
    fix: 'if the other node is not behind NAT, set `--iface` or `--public-ip` there',
  },
  'firewall-drops-tunnel': {
    severity: 'error',
    symptom: 'pods here reach no pod of another node',
    meaning: 'a firewall rule of this node drops packets of the tunnel',
    fix: 'accept the UDP port: `ufw allow 8472/udp`, `firewall-cmd --permanent --add-port=8472/udp`, or a rule before the one that drops',
  },
  'peer-port-closed': {
    severity: 'error',
    symptom: 'pods of two nodes do not reach each other',
    meaning:
      'the machine at the other node’s address answers, but has no tunnel at that port: it has another `Port`, no flannel device, or is not that node',
    fix: 'compare `Port` in both net-conf.json, run `ip -d link show type vxlan` there, and check that the address is that node’s',
  },
  'peer-unreachable': {
    severity: 'error',
    symptom: 'no node reaches the pods of one node',
    meaning: 'the node is down, or nothing answers at the address in its lease',
    fix: 'start the node, or delete its Node or lease; behind NAT set the annotation public-ip-overwrite',
  },
  'peer-agent-down': {
    severity: 'warning',
    symptom: 'a node keeps forwarding, but does not follow changes of the cluster',
    meaning: 'the kernel of the other node forwards, but its agent does not answer',
    fix: 'start the agent on that node; `flanneld doctor` there says more',
  },
  'peer-tunnel-broken': {
    severity: 'error',
    symptom: 'pods of two nodes do not reach each other',
    meaning: 'the other node answers, but its tunnel does not, and no known cause fits',
    fix: 'run `flanneld doctor` on that node, and `tcpdump -ni IFACE udp port 8472` on both nodes',
  },
  'peer-slow': {
    severity: 'warning',
    symptom: 'requests between pods of two nodes have become slow',
    meaning: 'a round trip through the tunnel takes much longer than it usually did',
    fix: 'look at the load of both nodes and of the network between them',
  },
  'path-mtu-too-small': {
    severity: 'error',
    symptom: 'small requests work, but large answers and TLS handshakes hang',
    meaning: 'the network between the nodes does not carry packets as large as the interface’s MTU',
    fix: 'set `"MTU"` in Backend to the size that passes, or raise the MTU on the path; then restart the pods',
  },
  'pod-mtu-stale': {
    severity: 'warning',
    symptom: 'large answers of older pods hang',
    meaning: 'the MTU of the network has changed, but pods keep the MTU with which they started',
    fix: 'restart the pods of this node: `kubectl drain`, then `kubectl uncordon`',
  },
  'bridge-mtu-wrong': {
    severity: 'error',
    symptom: 'large packets of pods are lost',
    meaning: 'somebody has changed the MTU of the pods’ bridge',
    fix: '`ip link set cni0 mtu N`',
  },
  'public-ip-not-local': {
    severity: 'warning',
    symptom: 'nobody reaches the pods of this node',
    meaning: 'the address that this node publishes is on none of its interfaces, which is right only behind NAT',
    fix: 'set `--iface` or `--public-ip`, or behind NAT the annotation public-ip-overwrite',
  },
  'public-ip-conflict': {
    severity: 'error',
    symptom: 'of two nodes only one node’s pods can be reached',
    meaning: 'two nodes publish the same address, as with Vagrant’s 10.0.2.15',
    fix: 'set `--iface` or `--public-ip` on the node with the wrong address; delete the lease of a node that is gone',
  },
  'vtep-mac-conflict': {
    severity: 'error',
    symptom: 'of two nodes only one node’s pods can be reached',
    meaning: 'two leases have the same VTEP MAC, because one machine is a clone of the other',
    fix: 'on the clone, delete the flannel device and the annotation backend-data, and restart its agent',
  },
  'vtep-mac-mismatch': {
    severity: 'error',
    symptom: 'other nodes do not reach the pods of one node, although that node looks healthy',
    meaning:
      'the other node’s tunnel device has another MAC than its lease says, or its address leads to another machine',
    fix: 'restart the agent on that node, so that it publishes the MAC again',
  },
  'subnet-conflict': {
    severity: 'error',
    symptom: 'of two nodes only one node’s pods can be reached',
    meaning: 'two leases have overlapping subnets; the node with the older lease keeps its subnet',
    fix: 'delete the younger lease and let that node join again',
  },
  'peer-vni-differs': {
    severity: 'error',
    symptom: 'pods of two nodes do not reach each other',
    meaning: 'the lease of the other node has a different VNI',
    fix: 'give all nodes the same net-conf.json, and restart the agent that has a different one',
  },
  'network-config-differs': {
    severity: 'error',
    symptom: 'pods of two nodes do not reach each other',
    meaning: 'the lease of the other node belongs to a different network, backend or address family',
    fix: 'give all nodes the same net-conf.json, and restart the agent that has a different one',
  },
  'lease-unusable': {
    severity: 'error',
    symptom: 'this node does not reach the pods of one node',
    meaning: 'the lease of the other node cannot be used; the evidence says why',
    fix: 'restart the agent of that node; delete the lease if the node is gone',
  },
  'checksum-corruption': {
    severity: 'error',
    symptom: 'ping between pods works, but TCP and DNS take 63 s or fail',
    meaning: 'the network card or its driver spoils the checksums of tunnel packets',
    fix: 'run `ethtool -K flannel.1 tx-checksum-ip-generic off` on the sender, or install a newer kernel or hypervisor',
  },
  'ip-forward-off': {
    severity: 'error',
    symptom: 'pods here reach no address outside of the node',
    meaning: 'the kernel does not forward packets, because a sysctl is 0',
    fix: 'run `sysctl -w net.ipv4.ip_forward=1`, and remove from /etc/sysctl.d what sets it to 0',
  },
  'rp-filter-strict': {
    severity: 'error',
    symptom: 'pods here do not reach some nodes, on machines with several interfaces',
    meaning:
      'the kernel drops packets because the route back to their sender leads through another device (strict reverse path filter)',
    fix: 'run `sysctl -w net.ipv4.conf.DEV.rp_filter=2`; the kernel uses the larger value of DEV and all',
  },
  'firewall-refuses-pods': {
    severity: 'error',
    symptom: 'pods here reach no address, or other nodes do not reach them',
    meaning: 'a firewall rule of this node refuses forwarded packets of pods',
    fix: 'add a rule before it that accepts the pod network; with firewalld put cni0 and flannel.1 into the zone trusted',
  },
  'route-missing': {
    severity: 'error',
    symptom: 'pods here do not reach pods of one node',
    meaning: 'the route to the subnet of the other node is not in the kernel',
    fix: 'start the agent, which makes the missing entry',
  },
  'peer-entry-missing': {
    severity: 'error',
    symptom: 'pods here do not reach pods of one node',
    meaning: 'the neighbour or FDB entry of the other node is missing or wrong',
    fix: 'start the agent, which makes the missing entry',
  },
  'route-shadowed': {
    severity: 'error',
    symptom: 'pods here do not reach the pods of one node, or only some of them',
    meaning:
      'a route of another program has a longer prefix or a smaller metric than the agent’s route, so that the kernel uses it',
    fix: 'delete the route with `ip route del`, and stop the program that makes it',
  },
  'policy-rule-diverts': {
    severity: 'error',
    symptom: 'pods here reach no pod of another node since a VPN or a second network card was added',
    meaning: 'a rule of policy routing sends packets of pods or of the tunnel to the wrong device',
    fix: 'delete the rule, or add `ip rule add to NETWORK lookup main` before it',
  },
  'network-overlap': {
    severity: 'error',
    symptom: 'some addresses outside the cluster, or some pods, cannot be reached',
    meaning: 'a network of this node, such as docker0, a VPN or the underlay, lies in the pod network',
    fix: 'give that network other addresses (docker: `bip`), or the cluster another `Network` in net-conf.json',
  },
  'service-cidr-overlap': {
    severity: 'error',
    symptom: 'Services fail, or some pods cannot be reached',
    meaning: 'the address range of Services overlaps the pod network',
    fix: 'give `--service-cluster-ip-range` a range outside of `Network`',
  },
  'underlay-down': {
    severity: 'error',
    symptom: 'the whole node cannot be reached',
    meaning: 'the interface to the other nodes is down, has no carrier, or has lost its address',
    fix: 'check cable, bond, network card and DHCP; run `ip link set DEV up`',
  },
  'bridge-nf-call-off': {
    severity: 'error',
    symptom: 'a Service hangs when the pod behind it is on the same node',
    meaning:
      'answers on the bridge do not pass netfilter, so that their addresses are not translated back to those of the Service',
    fix: '`modprobe br_netfilter`, `sysctl -w net.bridge.bridge-nf-call-iptables=1`',
  },
  'bridge-address-wrong': {
    severity: 'error',
    symptom: 'new pods fail with "cni0 already has an IP address different from", or pods reach no address',
    meaning: 'the pods’ bridge does not have the first address of this node’s subnet',
    fix: 'run `kubectl drain`, then `ip link del cni0`; the next pod makes the bridge anew',
  },
  'bridge-down': {
    severity: 'error',
    symptom: 'no pod of this node reaches any address',
    meaning: 'somebody has set the pods’ bridge down',
    fix: '`ip link set cni0 up`',
  },
  'hairpin-off': {
    severity: 'warning',
    symptom: 'a pod does not reach itself through its Service',
    meaning:
      'the pod’s port on the bridge does not send a packet back through the port by which it came (hairpin mode is off)',
    fix: '`bridge link set dev VETH hairpin on`',
  },
  'pod-port-detached': {
    severity: 'error',
    symptom: 'one pod reaches no address',
    meaning: 'the pod’s device on the node is not a port of the bridge, is down, or is blocked',
    fix: '`ip link set VETH master cni0 up`; keep NetworkManager and networkd away from veth devices',
  },
  'cni-conflist-shadowed': {
    severity: 'error',
    symptom: 'new pods have addresses outside the pod network',
    meaning: 'the file name of another CNI configuration sorts before Weft’s, so that the runtime uses that one',
    fix: 'remove the file that sorts first',
  },
  'cni-conflist-missing': {
    severity: 'error',
    symptom: 'new pods do not start: "cni plugin not initialized"',
    meaning: 'Weft’s CNI configuration is not there',
    fix: 'restart the agent, which writes it when the node forwards',
  },
  'cni-conflist-invalid': {
    severity: 'error',
    symptom: 'new pods do not start',
    meaning: 'the CNI configuration is not valid JSON, or names no plugin of type flannel',
    fix: 'remove the file and restart the agent, which writes it anew',
  },
  'cni-plugin-missing': {
    severity: 'error',
    symptom: 'new pods do not start: "failed to find plugin"',
    meaning: 'a plugin that the CNI configuration names is missing in the folder of executables, or cannot be executed',
    fix: 'restart the agent, which installs Weft’s plugins; install the others from the package containernetworking-plugins',
  },
  'cni-plugin-foreign': {
    severity: 'warning',
    symptom: 'pods start slowly, or fail',
    meaning: 'the file `flannel` in the folder of CNI executables is not Weft’s',
    fix: '`--cni-bin-replace=flannel`',
  },
  'cni-state-unwritable': {
    severity: 'error',
    symptom: 'new pods do not start: "read-only file system", "no space left on device"',
    meaning: 'the plugins cannot write their files on the node',
    fix: 'mount the file system writable, or free space on it',
  },
  'subnet-env-missing': {
    severity: 'error',
    symptom: 'new pods do not start: "subnet.env: no such file or directory"',
    meaning: 'the file from which the plugins read this node’s subnet is missing or unreadable',
    fix: 'restart the agent, which writes it',
  },
  'subnet-env-differs': {
    severity: 'error',
    symptom: 'new pods have addresses that no other node reaches',
    meaning: 'subnet.env names another subnet than this node’s lease, because another agent wrote the file',
    fix: 'stop the other flannel, and restart the agent',
  },
  'address-pool-exhausted': {
    severity: 'error',
    symptom: 'new pods do not start: "no IP addresses available in range set"',
    meaning: 'every address of this node’s subnet is in use',
    fix: 'run `flanneld gc`, which frees the addresses of dead pods; if that is not enough, use larger podCIDRs or fewer pods on each node',
  },
  'device-missing': {
    severity: 'error',
    symptom: 'pods here reach no pod of another node',
    meaning: 'the tunnel’s device does not exist, is down, or has wrong properties',
    fix: 'restart the agent, which makes the device',
  },
  'vxlan-port-taken': {
    severity: 'error',
    symptom: 'the agent does not become ready; pods here reach no pod of another node',
    meaning: 'another device has the tunnel’s VNI and UDP port, or a program uses the UDP port',
    fix: 'remove the device, stop the program, or set another `"Port"` for the cluster',
  },
  'store-unreachable': {
    severity: 'warning',
    symptom: 'this node does not reach new nodes and their pods',
    meaning: 'the API server or etcd does not answer the agent',
    fix: 'the evidence says what was tried; check the server’s address, its certificate and the network from this node to it',
  },
  'object-fought-over': {
    severity: 'warning',
    symptom: 'connections between nodes break for moments again and again',
    meaning: 'another program keeps undoing the agent’s repairs',
    fix: 'set `Unmanaged=yes` for flannel.* in systemd-networkd, `unmanaged-devices` in NetworkManager; stop a second flannel',
  },
  'fast-path-off': {
    severity: 'info',
    symptom: 'pods are not as fast as the fast path could make them; no packet is lost',
    meaning:
      'the fast path is off or only redirects, because another program filters or diverts pods’ packets, or because this kernel or the agent’s rights do not allow it',
    fix: 'nothing has to be done: packets go through bridge, routing and netfilter as without it, or as with `redirect`; `--fast-path=off` ends the finding',
  },
  'legacy-and-nft-mixed': {
    severity: 'warning',
    symptom: 'firewall rules seem to have no effect, or packets are refused that the visible rules accept',
    meaning: 'there are rules in iptables-legacy and in nftables, and a packet must pass both',
    fix: 'choose one of the two with `update-alternatives --config iptables`, then reboot',
  },
  'conntrack-full': {
    severity: 'error',
    symptom: 'new connections fail at random',
    meaning: 'the kernel’s table of tracked connections is full or nearly full',
    fix: 'run `sysctl -w net.netfilter.nf_conntrack_max=N`',
  },
  'neighbour-table-full': {
    severity: 'error',
    symptom: 'some pods or nodes cannot be reached at random, and dmesg says "neighbour table overflow"',
    meaning: 'the kernel’s table of neighbours is full or nearly full',
    fix: 'run `sysctl -w net.ipv4.neigh.default.gc_thresh3=N`, and set gc_thresh2 below it',
  },
  ...PATH_CATALOG,
  ...PREFLIGHT_CATALOG,
  'not-looked-at': {
    severity: 'info',
    symptom: 'the doctor could not examine everything',
    meaning: 'the doctor could not read some part of the node, so that it would not see problems there',
    fix: 'run the doctor as root, in the agent’s container or on the node with the agent’s flags',
  },
} as const satisfies Readonly<Record<string, CatalogEntry>>;

export type FindingId = keyof typeof CATALOG;
