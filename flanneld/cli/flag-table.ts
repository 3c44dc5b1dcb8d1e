// Every flag of flanneld: flannel's (main.go) and our own, with defaults and ranges. options.ts reads the values.

import { defaultSubnetFile } from '../../lib/subnet-env.ts';

export interface FlagSpec {
  readonly name: string;
  /** The name of the value in the help text. A boolean has none; as in Go, its value is given only after `=`. */
  readonly value?: string;
  readonly help: string;
  /** Read as the value when the flag is not given. */
  readonly default?: string;
  /** The smallest and the largest integer that are allowed. */
  readonly range?: readonly [number, number];
}

/** Flags of flannel's that have no effect here. Using one logs a warning with this reason. */
export const ineffectiveFlags: ReadonlyMap<string, string> = new Map([
  ['vmodule', 'log lines are structured: filter them by their fields'],
  ['subnet-lease-renew-margin', 'etcd leases are kept alive all the time'],
  ['log_backtrace_at', 'an error carries its own cause'],
]);

/** In the order of the help text. */
export const flagTable: readonly FlagSpec[] = [
  { name: 'iface', value: 'name|ip', help: 'external interface, by name or address; repeatable, the first found wins' },
  { name: 'iface-regex', value: 'regex', help: 'the same by regular expression on addresses, then names; repeatable' },
  { name: 'iface-can-reach', value: 'ip', help: 'the interface the kernel would use to reach this address' },
  { name: 'public-ip', value: 'ip', help: "IPv4 address other nodes send to (default: the external interface's)" },
  { name: 'public-ipv6', value: 'ip', help: "IPv6 address other nodes send to (default: the external interface's)" },
  { name: 'net-config-path', value: 'file', help: 'network configuration', default: '/etc/kube-flannel/net-conf.json' },
  { name: 'subnet-file', value: 'file', help: "where to write this node's subnet", default: defaultSubnetFile },
  { name: 'cni-conf', value: 'file', help: 'CNI configuration to install when the node forwards' },
  {
    name: 'cni-conf-dir',
    value: 'dir',
    help: 'where to install it, or to withdraw it from',
    default: '/etc/cni/net.d',
  },
  { name: 'cni-bin-dir', value: 'dir', help: 'where to install the CNI executables: free names and our own' },
  {
    name: 'cni-bin-replace',
    value: 'names',
    help: "comma-separated names of others' executables to replace there",
  },
  {
    name: 'cni-state-dir',
    value: 'dir',
    help: 'where plugins and runtime keep what they know of pods',
    default: '/var/lib/cni',
  },
  { name: 'netns-dir', value: 'dir', help: 'where the runtime pins network namespaces', default: '/run/netns' },
  { name: 'node-name', value: 'name', help: 'this node ($NODE_NAME, else the host name)' },
  {
    name: 'subnet-dir',
    value: 'dir',
    help: 'directory store, for the agents of one machine: one lease file a node; never taken unless it is named',
  },
  { name: 'ip-masq', help: 'masquerade traffic that leaves the overlay', default: 'false' },
  { name: 'ip-masq-fully-random-disable', help: 'masquerade without random source ports', default: 'false' },
  { name: 'iptables-forward-rules', help: 'accept forwarded overlay traffic', default: 'true' },
  {
    name: 'iptables-resync',
    value: 'seconds',
    help: 'how often firewall rules and blackhole routes are checked',
    default: '5',
    range: [1, 86_400],
  },
  {
    name: 'ip-unreachable-route',
    help: 'refuse packets for pod addresses that no node has; with a tunnel, unless the node itself needs one of them',
    default: 'true',
  },
  { name: 'ip-blackhole-route', help: "keep a blackhole route for this node's subnet", default: 'false' },
  {
    name: 'guard',
    value: 'count|enforce|off',
    help: "packets to the tunnel's port from who is no peer: count them, or drop them, too",
    default: 'count',
  },
  {
    name: 'probes',
    value: 'on|off',
    help: 'probe other nodes through the tunnel and beside it, and answer their probes',
    default: 'on',
  },
  {
    name: 'probe-port',
    value: 'port',
    help: 'UDP port at which agents answer each other; the same on all nodes',
    default: '8477',
    range: [1, 65_535],
  },
  { name: 'healthz-ip', value: 'ip', help: 'where /healthz, /readyz and /metrics listen', default: '0.0.0.0' },
  { name: 'healthz-port', value: 'port', help: 'their port; 0 turns them off', default: '0', range: [0, 65_535] },
  { name: 'kube-subnet-mgr', help: 'Kubernetes store: leases are Nodes', default: 'false' },
  { name: 'kube-api-url', value: 'url', help: 'Kubernetes API server (in-cluster configuration)' },
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
    help: 'etcd store: comma-separated endpoints; what is taken, as by flannel, when no flag names a store',
    default: 'http://127.0.0.1:4001,http://127.0.0.1:2379',
  },
  { name: 'etcd-prefix', value: 'prefix', help: 'key prefix', default: '/coreos.com/network' },
  { name: 'etcd-keyfile', value: 'file', help: 'TLS client key' },
  { name: 'etcd-certfile', value: 'file', help: 'TLS client certificate' },
  { name: 'etcd-cafile', value: 'file', help: 'certificate authority' },
  { name: 'etcd-username', value: 'name', help: 'user' },
  { name: 'etcd-password', value: 'password', help: 'password' },
  {
    name: 'subnet-lease-renew-margin',
    value: 'minutes',
    help: 'accepted, without effect',
    default: '60',
    range: [1, 1_439],
  },
  { name: 'json', help: 'status, gc, doctor, preflight: print JSON', default: 'false' },
  { name: 'peer', value: 'name', help: 'doctor: probe only the node of this name, as its lease says it' },
  { name: 'all', help: 'doctor: probe all other nodes, not only 64 of them', default: 'false' },
  { name: 'dry-run', help: 'gc: only say what would be freed', default: 'false' },
  { name: 'force', help: 'cleanup: end the agent that runs on this node, and go on', default: 'false' },
  { name: 'version', help: 'print the version and exit', default: 'false' },
  { name: 'v', value: 'level', help: 'log level: 4 and above logs decisions too', default: '0', range: [0, 100] },
  { name: 'vmodule', value: 'pattern', help: 'accepted, without effect' },
  { name: 'log_backtrace_at', value: 'file:line', help: 'accepted, without effect' },
];
