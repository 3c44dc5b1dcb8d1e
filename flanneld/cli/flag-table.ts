// Every flag of flanneld: flannel's (main.go) and our own, with defaults and ranges. options.ts reads the values.

import { defaultSubnetFile } from '../../lib/subnet-env.ts';

export interface FlagSpec {
  readonly name: string;
  /** The name of the value in the help text. A boolean has none; as in Go, its value is given only after `=`. */
  readonly value?: string;
  readonly help: string;
  /** The value when the flag is not given. */
  readonly default?: string;
  /** The smallest and the largest integer that are allowed. */
  readonly range?: readonly [number, number];
}

/** Flags of flannel that have no effect here. When one is used, a warning with this reason is logged. */
export const ineffectiveFlags: ReadonlyMap<string, string> = new Map([
  ['vmodule', 'log lines are structured and can be filtered by their fields'],
  ['subnet-lease-renew-margin', 'the agent always keeps its etcd lease alive'],
  ['log_backtrace_at', 'an error carries its own cause'],
]);

/** The flags, in the order of the help text. */
export const flagTable: readonly FlagSpec[] = [
  {
    name: 'iface',
    value: 'name|ip',
    help: 'name or address of the external interface; may be repeated, then the first one that exists is used',
  },
  {
    name: 'iface-regex',
    value: 'regex',
    help: 'regular expression for the external interface, which is tried on addresses, then on names; may be repeated',
  },
  { name: 'iface-can-reach', value: 'ip', help: 'use the interface through which the kernel reaches this address' },
  {
    name: 'public-ip',
    value: 'ip',
    help: "IPv4 address to which other nodes send (default: the external interface's)",
  },
  {
    name: 'public-ipv6',
    value: 'ip',
    help: "IPv6 address to which other nodes send (default: the external interface's)",
  },
  {
    name: 'net-config-path',
    value: 'file',
    help: 'file with the network configuration',
    default: '/etc/kube-flannel/net-conf.json',
  },
  {
    name: 'subnet-file',
    value: 'file',
    help: "file to which this node's subnet is written",
    default: defaultSubnetFile,
  },
  { name: 'cni-conf', value: 'file', help: 'CNI configuration that is installed when the node forwards' },
  {
    name: 'cni-conf-dir',
    value: 'dir',
    help: 'folder in which the CNI configuration is installed',
    default: '/etc/cni/net.d',
  },
  {
    name: 'cni-bin-dir',
    value: 'dir',
    help: 'folder in which the CNI executables are installed; files of other programs are kept',
  },
  {
    name: 'cni-bin-replace',
    value: 'names',
    help: 'comma-separated names of other programs’ executables in that folder that are replaced',
  },
  {
    name: 'cni-state-dir',
    value: 'dir',
    help: 'folder in which the plugins and the runtime keep files about pods',
    default: '/var/lib/cni',
  },
  {
    name: 'netns-dir',
    value: 'dir',
    help: 'folder in which the runtime mounts network namespaces',
    default: '/run/netns',
  },
  { name: 'node-name', value: 'name', help: 'name of this node (default: $NODE_NAME, or the host name)' },
  {
    name: 'subnet-dir',
    value: 'dir',
    help: 'keep leases in this directory, one file for each node, for agents on one machine',
  },
  { name: 'ip-masq', help: 'masquerade traffic of pods that leaves the pod network', default: 'false' },
  { name: 'ip-masq-fully-random-disable', help: 'masquerade without random source ports', default: 'false' },
  { name: 'iptables-forward-rules', help: 'accept forwarded traffic of the pod network', default: 'true' },
  {
    name: 'iptables-resync',
    value: 'seconds',
    help: 'how often firewall rules and blackhole routes are checked',
    default: '5',
    range: [1, 86_400],
  },
  {
    name: 'ip-unreachable-route',
    help: 'with a tunnel, refuse packets to pod addresses that no node has, unless this node itself needs one of these addresses',
    default: 'true',
  },
  { name: 'ip-blackhole-route', help: "keep a blackhole route for this node's subnet", default: 'false' },
  {
    name: 'guard',
    value: 'count|enforce|off',
    help: "what to do with packets to the tunnel's port from senders that are no peers: count them, or also drop them (enforce)",
    default: 'count',
  },
  {
    name: 'fast-path',
    value: 'off|redirect|full',
    help: "redirect: eBPF programs send pods' packets past bridge, routing and netfilter, except where this could change a packet’s fate; full: they also encapsulate and decapsulate IPv4 packets (default: FastPath of Backend, otherwise off)",
  },
  {
    name: 'probes',
    value: 'on|off',
    help: 'probe other nodes through the tunnel and directly, and answer their probes',
    default: 'on',
  },
  {
    name: 'probe-port',
    value: 'port',
    help: 'UDP port at which agents answer probes; it must be the same on all nodes',
    default: '8477',
    range: [1, 65_535],
  },
  {
    name: 'healthz-ip',
    value: 'ip',
    help: 'address at which /healthz, /readyz and /metrics listen',
    default: '0.0.0.0',
  },
  {
    name: 'healthz-port',
    value: 'port',
    help: 'port of /healthz, /readyz and /metrics; 0 turns them off',
    default: '0',
    range: [0, 65_535],
  },
  {
    name: 'metrics-ip',
    value: 'ip',
    help: 'address at which /metrics listens for a Prometheus on another node; everybody who reaches it may read it',
    default: '0.0.0.0',
  },
  {
    name: 'metrics-port',
    value: 'port',
    help: 'port of a listener for /metrics alone; 0 turns it off',
    default: '0',
    range: [0, 65_535],
  },
  { name: 'kube-subnet-mgr', help: 'keep leases in the annotations of Kubernetes Nodes', default: 'false' },
  {
    name: 'kube-api-url',
    value: 'url',
    help: 'URL of the Kubernetes API server (default: from the pod’s environment)',
  },
  { name: 'kubeconfig-file', value: 'file', help: 'kubeconfig with credentials' },
  {
    name: 'kube-annotation-prefix',
    value: 'prefix',
    help: 'prefix of the annotations',
    default: 'flannel.alpha.coreos.com',
  },
  {
    name: 'set-node-network-unavailable',
    help: 'set the NetworkUnavailable condition to false when ready',
    default: 'true',
  },
  {
    name: 'etcd-endpoints',
    value: 'urls',
    help: 'comma-separated etcd endpoints; as in flannel, leases are kept in etcd when no flag names a store',
    default: 'http://127.0.0.1:4001,http://127.0.0.1:2379',
  },
  { name: 'etcd-prefix', value: 'prefix', help: 'prefix of the keys in etcd', default: '/coreos.com/network' },
  { name: 'etcd-keyfile', value: 'file', help: 'key of the TLS client certificate for etcd' },
  { name: 'etcd-certfile', value: 'file', help: 'TLS client certificate for etcd' },
  { name: 'etcd-cafile', value: 'file', help: 'certificate of the authority (CA) that signed etcd’s certificate' },
  { name: 'etcd-username', value: 'name', help: 'user name for etcd' },
  { name: 'etcd-password', value: 'password', help: 'password for etcd' },
  {
    name: 'subnet-lease-renew-margin',
    value: 'minutes',
    help: 'accepted and ignored',
    default: '60',
    range: [1, 1_439],
  },
  { name: 'json', help: 'status, gc, doctor, preflight, snapshot: print JSON', default: 'false' },
  { name: 'peer', value: 'name', help: 'doctor: probe only the node that has this name in its lease' },
  { name: 'all', help: 'doctor: probe all other nodes, not only 64 of them', default: 'false' },
  {
    name: 'host-root',
    value: 'dir',
    help: 'preflight: folder at which the host’s /etc is mounted in a container (default: /etc itself)',
  },
  { name: 'dry-run', help: 'gc: only print what would be freed', default: 'false' },
  { name: 'force', help: 'cleanup: end the agent that runs on this node first', default: 'false' },
  { name: 'version', help: 'print the version and exit', default: 'false' },
  {
    name: 'v',
    value: 'level',
    help: 'log level; from 4 on, the agent also logs its decisions',
    default: '0',
    range: [0, 100],
  },
  { name: 'vmodule', value: 'pattern', help: 'accepted and ignored' },
  { name: 'log_backtrace_at', value: 'file:line', help: 'accepted and ignored' },
];
