// Every problem that a finding can name: its id, how bad it is by default, how a user notices it, what it means, and what ends it
// in general. A finding itself has the exact command. Ids are stable, because scripts and alerts use them.

import type { Severity } from '../health/finding.ts';

export interface CatalogEntry {
  /** The usual severity; a finding may have another one, where the facts say more. */
  readonly severity: Severity;
  /** What a user of the cluster sees. */
  readonly symptom: string;
  readonly meaning: string;
  readonly fix: string;
}

export const CATALOG = {
  'agent-not-running': {
    severity: 'error',
    symptom: 'pods here do not reach nodes that are new or have changed',
    meaning: 'no agent runs on this node, so nothing follows the cluster and repairs what others change',
    fix: 'start it; its last line of log (`kubectl logs -p`) says why it ended',
  },
  'agent-unresponsive': {
    severity: 'error',
    symptom: 'pods here do not reach nodes that are new or have changed; `flanneld status` gets no answer',
    meaning: 'the agent has its status socket and does not answer: it is stopped, swapped out or stuck',
    fix: 'restart it; in state T somebody has stopped it with a signal',
  },
  'agent-not-ready': {
    severity: 'warning',
    symptom: 'the node is not ready, or its DaemonSet pod is not',
    meaning: 'the agent runs and says what it waits for',
    fix: 'see the reason in the evidence; `flanneld status` has all of them',
  },
  'tunnel-port-blocked': {
    severity: 'error',
    symptom: 'pods of two nodes do not reach each other, DNS fails on some nodes, the nodes themselves do',
    meaning: 'the network between the nodes drops the UDP port of the tunnel: a security group, a firewall, NSX',
    fix: 'open the UDP port between the nodes in both directions; NSX keeps 8472 for itself: set `"Port": 4789`',
  },
  'tunnel-one-way': {
    severity: 'error',
    symptom: 'connections between pods of two nodes hang',
    meaning: 'the network drops the UDP port of the tunnel in one direction only',
    fix: 'open the UDP port in the direction that the finding names',
  },
  'firewall-drops-tunnel': {
    severity: 'error',
    symptom: 'pods here reach no pod of another node',
    meaning: 'a firewall rule of this node drops packets of the tunnel',
    fix: 'accept the UDP port: `ufw allow 8472/udp`, `firewall-cmd --permanent --add-port=8472/udp`, or a rule before that one',
  },
  'peer-port-closed': {
    severity: 'error',
    symptom: 'pods of two nodes do not reach each other',
    meaning:
      'the other machine answers and has no tunnel at that port: another `Port`, no flannel device, or another machine',
    fix: 'compare `Port` in both net-conf; `ip -d link show type vxlan` there; check that the address is that node’s',
  },
  'peer-unreachable': {
    severity: 'error',
    symptom: 'pods of one node are out of reach from everywhere',
    meaning: 'the node is down, or its lease has an address at which nobody answers',
    fix: 'start the node, or delete its Node or lease; behind NAT set the annotation public-ip-overwrite',
  },
  'peer-agent-down': {
    severity: 'warning',
    symptom: 'a node keeps working and does not follow changes of the cluster',
    meaning: 'the data plane of the other node answers and its agent does not',
    fix: 'start the agent there; `flanneld doctor` on that node says more',
  },
  'peer-tunnel-broken': {
    severity: 'error',
    symptom: 'pods of two nodes do not reach each other',
    meaning: 'the other node answers, its tunnel does not, and no known cause fits',
    fix: 'run `flanneld doctor` there, and `tcpdump -ni IFACE udp port 8472` on both nodes',
  },
  'peer-slow': {
    severity: 'warning',
    symptom: 'requests between pods of two nodes have become slow',
    meaning: 'the round trip through the tunnel takes much longer than it did',
    fix: 'look at the load of both nodes and of the network between them',
  },
  'path-mtu-too-small': {
    severity: 'error',
    symptom: 'small requests work, large answers and TLS handshakes hang',
    meaning: 'something between the nodes carries smaller packets than the interface says',
    fix: 'set `"MTU"` in Backend to what passes, or raise it on the path; then restart the pods',
  },
  'pod-mtu-stale': {
    severity: 'warning',
    symptom: 'large answers of older pods hang',
    meaning: 'the MTU of the network has changed, and pods keep the one they started with',
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
    fix: '`--public-ip`, the annotation public-ip-overwrite, or `--iface`',
  },
  'public-ip-conflict': {
    severity: 'error',
    symptom: 'pods of one of two nodes are out of reach',
    meaning: 'two nodes publish one address, as with Vagrant’s 10.0.2.15',
    fix: '`--iface` or `--public-ip` on the wrong one; delete the lease of a node that is gone',
  },
  'vtep-mac-conflict': {
    severity: 'error',
    symptom: 'pods of one of two nodes are out of reach',
    meaning: 'two leases have one VTEP MAC: one machine is a clone of the other',
    fix: 'on the clone, delete the flannel device and the annotation backend-data, and restart its agent',
  },
  'vtep-mac-mismatch': {
    severity: 'error',
    symptom: 'pods of one node are out of reach, though it looks well',
    meaning: 'the device of the other node has another MAC than its lease says, or its address leads to another node',
    fix: 'restart the agent there, which advertises the MAC again',
  },
  'subnet-conflict': {
    severity: 'error',
    symptom: 'pods of one of two nodes are out of reach',
    meaning: 'two leases have overlapping subnets; the older one keeps it',
    fix: 'delete the younger lease and let that node join again',
  },
  'peer-vni-differs': {
    severity: 'error',
    symptom: 'pods of two nodes do not reach each other',
    meaning: 'the lease of the other node has another VNI',
    fix: 'give all nodes one net-conf, and restart the agent that has the other',
  },
  'network-config-differs': {
    severity: 'error',
    symptom: 'pods of two nodes do not reach each other',
    meaning: 'the lease of the other node is of another network, backend or family',
    fix: 'give all nodes one net-conf, and restart the agent that has the other',
  },
  'lease-unusable': {
    severity: 'error',
    symptom: 'pods of one node are out of reach from here',
    meaning: 'the lease of the other node cannot be used for the reason in the evidence',
    fix: 'restart the agent of that node, or delete the lease when the node is gone',
  },
  'checksum-corruption': {
    severity: 'error',
    symptom: 'ping between pods works, TCP and DNS take 63 s or fail',
    meaning: 'the network card or its driver spoils the checksums of tunnel packets',
    fix: '`ethtool -K flannel.1 tx-checksum-ip-generic off` on the sender, or a newer kernel or hypervisor',
  },
  'ip-forward-off': {
    severity: 'error',
    symptom: 'pods here reach nothing outside the node',
    meaning: 'the kernel does not forward: a sysctl is 0',
    fix: '`sysctl -w net.ipv4.ip_forward=1`, and remove what sets it to 0 from /etc/sysctl.d',
  },
  'rp-filter-strict': {
    severity: 'error',
    symptom: 'pods here do not reach some nodes, on machines with several interfaces',
    meaning:
      'the kernel drops packets because their way back leads through another device (strict reverse path filter)',
    fix: '`sysctl -w net.ipv4.conf.DEV.rp_filter=2`; the larger one of DEV and all counts',
  },
  'firewall-refuses-pods': {
    severity: 'error',
    symptom: 'pods here reach nothing, or are not reached from other nodes',
    meaning: 'a firewall rule of this node refuses forwarded packets of pods',
    fix: 'accept the pod network before that rule; firewalld: put cni0 and flannel.1 into the zone trusted',
  },
  'route-missing': {
    severity: 'error',
    symptom: 'pods here do not reach pods of one node',
    meaning: 'the route to the subnet of the other node is not in the kernel',
    fix: 'start the agent, which makes it',
  },
  'peer-entry-missing': {
    severity: 'error',
    symptom: 'pods here do not reach pods of one node',
    meaning: 'the neighbour or FDB entry of the other node is missing, or leads elsewhere',
    fix: 'start the agent, which makes it',
  },
  'route-shadowed': {
    severity: 'error',
    symptom: 'pods here do not reach pods of one node, or half of them',
    meaning: 'a route of another program is longer or cheaper than ours and takes the packets',
    fix: '`ip route del`, and stop who makes it',
  },
  'policy-rule-diverts': {
    severity: 'error',
    symptom: 'pods here reach no pod of another node, since a VPN or a second network card is there',
    meaning: 'a rule of policy routing sends packets of pods or of the tunnel elsewhere',
    fix: 'delete it, or put `ip rule add to NETWORK lookup main` before it',
  },
  'network-overlap': {
    severity: 'error',
    symptom: 'some addresses outside the cluster, or some pods, are out of reach',
    meaning: 'a network of this node, such as docker0, a VPN or the underlay, lies in the pod network',
    fix: 'give that network other addresses (docker: `bip`), or the cluster another `Network`',
  },
  'service-cidr-overlap': {
    severity: 'error',
    symptom: 'Services fail, or some pods are out of reach',
    meaning: 'the range of Services lies in the pod network',
    fix: 'keep `--service-cluster-ip-range` apart from `Network`',
  },
  'underlay-down': {
    severity: 'error',
    symptom: 'the whole node is cut off',
    meaning: 'the interface to the other nodes is down, has no carrier, or has lost its address',
    fix: 'cable, bond, network card, DHCP; `ip link set DEV up`',
  },
  'bridge-nf-call-off': {
    severity: 'error',
    symptom: 'a Service hangs when the pod behind it is on the same node',
    meaning: 'bridged answers do not pass netfilter, so that kube-proxy cannot translate them back',
    fix: '`modprobe br_netfilter`, `sysctl -w net.bridge.bridge-nf-call-iptables=1`',
  },
  'bridge-address-wrong': {
    severity: 'error',
    symptom: 'new pods fail with "cni0 already has an IP address different from", or pods reach nothing',
    meaning: 'the pods’ bridge does not have the first address of this node’s subnet',
    fix: '`kubectl drain`, then `ip link del cni0`: the next pod makes it anew',
  },
  'bridge-down': {
    severity: 'error',
    symptom: 'no pod of this node reaches anything',
    meaning: 'somebody has set the pods’ bridge down',
    fix: '`ip link set cni0 up`',
  },
  'hairpin-off': {
    severity: 'warning',
    symptom: 'a pod does not reach itself through its Service',
    meaning: 'the port of a pod on the bridge does not send packets back where they came from',
    fix: '`bridge link set dev VETH hairpin on`',
  },
  'pod-port-detached': {
    severity: 'error',
    symptom: 'one pod reaches nothing',
    meaning: 'the device of a pod is not on the bridge, is down, or its port is blocked',
    fix: '`ip link set VETH master cni0 up`; keep NetworkManager and networkd away from veth devices',
  },
  'cni-conflist-shadowed': {
    severity: 'error',
    symptom: 'new pods have addresses outside the pod network',
    meaning: 'another CNI configuration sorts before ours, and the runtime takes that one',
    fix: 'remove the file that sorts first',
  },
  'cni-conflist-missing': {
    severity: 'error',
    symptom: 'new pods do not start: "cni plugin not initialized"',
    meaning: 'there is no CNI configuration of Weft',
    fix: 'restart the agent, which writes it when the node forwards',
  },
  'cni-conflist-invalid': {
    severity: 'error',
    symptom: 'new pods do not start',
    meaning: 'the CNI configuration is no JSON, or has no plugin of type flannel',
    fix: 'remove the file and restart the agent, which writes it anew',
  },
  'cni-plugin-missing': {
    severity: 'error',
    symptom: 'new pods do not start: "failed to find plugin"',
    meaning: 'a plugin that the CNI configuration names is not in the folder of executables, or cannot be executed',
    fix: 'restart the agent, which installs Weft’s; others come from the package containernetworking-plugins',
  },
  'cni-plugin-foreign': {
    severity: 'warning',
    symptom: 'pods start slowly, or fail',
    meaning: '`flannel` in the folder of CNI executables is another vendor’s',
    fix: '`--cni-bin-replace=flannel`',
  },
  'cni-state-unwritable': {
    severity: 'error',
    symptom: 'new pods do not start: "read-only file system", "no space left on device"',
    meaning: 'the plugins cannot write what they keep on the node',
    fix: 'mount it writable, or free space',
  },
  'subnet-env-missing': {
    severity: 'error',
    symptom: 'new pods do not start: "subnet.env: no such file or directory"',
    meaning: 'the file in which the agent tells the plugins this node’s subnet is missing or unreadable',
    fix: 'restart the agent, which writes it',
  },
  'subnet-env-differs': {
    severity: 'error',
    symptom: 'new pods have addresses that nobody reaches',
    meaning: 'subnet.env has another subnet than the lease of this node: another agent wrote it',
    fix: 'stop the other flannel, and restart the agent',
  },
  'address-pool-exhausted': {
    severity: 'error',
    symptom: 'new pods do not start: "no IP addresses available in range set"',
    meaning: 'every address of this node’s subnet is taken',
    fix: '`flanneld gc` frees those of dead pods; else larger podCIDRs or fewer pods a node',
  },
  'device-missing': {
    severity: 'error',
    symptom: 'pods here reach no pod of another node',
    meaning: 'the device of the tunnel does not exist, is down, or is not as it should be',
    fix: 'restart the agent, which makes it',
  },
  'vxlan-port-taken': {
    severity: 'error',
    symptom: 'the agent does not become ready; pods here reach no pod of another node',
    meaning: 'another device has our VNI and port, or a program has the UDP port',
    fix: 'remove the device or stop the program, or set another `"Port"`',
  },
  'store-unreachable': {
    severity: 'error',
    symptom: 'new nodes and pods on them are out of reach',
    meaning: 'the API server or etcd does not answer the agent',
    fix: 'see what was tried in the evidence; check address, certificate and network from this node',
  },
  'object-fought-over': {
    severity: 'warning',
    symptom: 'connections between nodes break for moments, again and again',
    meaning: 'another program undoes what the agent repairs',
    fix: '`Unmanaged=yes` for flannel.* (systemd-networkd), `unmanaged-devices` (NetworkManager); stop a second flannel',
  },
  'legacy-and-nft-mixed': {
    severity: 'warning',
    symptom: 'rules of a firewall seem to have no effect, or too much',
    meaning: 'rules are in iptables-legacy and in nftables, and a packet must pass both',
    fix: 'move all rules to one of them: `update-alternatives --config iptables`, then reboot',
  },
  'conntrack-full': {
    severity: 'error',
    symptom: 'new connections fail at random',
    meaning: 'the kernel’s table of connections is full, or nearly',
    fix: '`sysctl -w net.netfilter.nf_conntrack_max=N`',
  },
  'neighbour-table-full': {
    severity: 'error',
    symptom: 'some pods or nodes are out of reach at random, "neighbour table overflow" in dmesg',
    meaning: 'the kernel’s table of neighbours is full, or nearly',
    fix: '`sysctl -w net.ipv4.neigh.default.gc_thresh3=N`, and thresh2 with it',
  },
  'address-unused': {
    severity: 'error',
    symptom: 'one address of the pod network does not answer',
    meaning: 'no pod, or no node, has the address that was asked about',
    fix: '`kubectl get pods -A -o wide` shows the address the pod has now',
  },
  'service-without-pods': {
    severity: 'error',
    symptom: 'a Service refuses connections',
    meaning: 'kube-proxy has no ready pod for the Service and refuses packets to it',
    fix: '`kubectl get endpointslices -A`; see why the pods of the Service are not ready',
  },
  'connection-stale': {
    severity: 'warning',
    symptom: 'a pod keeps sending to a pod that is gone, most often DNS over UDP',
    meaning: 'the kernel remembers a connection and leads its packets where they went before',
    fix: '`conntrack -D -s FROM -d TO`',
  },
  'not-looked-at': {
    severity: 'info',
    symptom: 'the doctor itself could not see everything',
    meaning: 'something could not be read, so problems there would stay unseen',
    fix: 'run it as root, in the agent’s container or on the node with the agent’s flags',
  },
} as const satisfies Readonly<Record<string, CatalogEntry>>;

export type FindingId = keyof typeof CATALOG;
