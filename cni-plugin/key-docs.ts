// Describes the keys of each plugin's configuration for users. Not part of the executable. A test compares the tables with the keys that
// are read, and defaults and ranges with the parsers.

import type { KeyDoc } from '../lib/key-doc.ts';

type KeyDocs = Readonly<Record<string, KeyDoc>>;

/** Keys of every plugin. */
export const commonDocs = {
  cniVersion: { type: 'string', default: '0.1.0', help: '0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0 or 1.1.0' },
  name: {
    type: 'string',
    help: "the network's name, which is also the name of the folder with its addresses; required",
  },
  type: { type: 'string', help: 'the name of the executable; required' },
} as const satisfies KeyDocs;

export const flannelDocs = {
  subnetFile: {
    type: 'string',
    default: '/run/flannel/subnet.env',
    help: "the file in which the agent writes the node's subnet",
  },
  dataDir: {
    type: 'string',
    default: '/var/lib/cni/flannel',
    help: "folder in which the delegate's configuration is saved until DEL",
  },
  delegate: {
    type: 'object',
    help: 'keys of the delegate, whose type is bridge by default. name and ipam must not be given; they are filled in, and so are mtu, ipMasq and isGateway when absent',
  },
  ipam: {
    type: 'object',
    help: "keys of the delegate's ipam except ranges and routes; its type is host-local by default",
  },
  runtimeConfig: { type: 'object', help: 'passed on to the delegate' },
  execDelegates: {
    type: 'boolean',
    default: false,
    help: 'execute delegates from CNI_PATH, even those that are built in; flannel does not know this key',
  },
} as const satisfies KeyDocs;

export const bridgeDocs = {
  bridge: { type: 'string', default: 'cni0', help: 'name of the bridge, which is made when it is missing' },
  isGateway: { type: 'boolean', default: false, help: 'the bridge has the gateway address of the pods' },
  isDefaultGateway: {
    type: 'boolean',
    default: false,
    help: 'the same, and pods have their default route to that address',
  },
  forceAddress: {
    type: 'boolean',
    default: false,
    help: 'replace another address of the bridge; without this, ADD fails',
  },
  ipMasq: { type: 'boolean', default: false, help: 'masquerade packets that pods send out of their subnet' },
  ipMasqBackend: { type: 'string', help: 'nftables or iptables; absent: nftables where the host has nft' },
  mtu: { type: 'integer', default: 0, help: 'MTU of the veths; 0: the kernel chooses' },
  hairpinMode: {
    type: 'boolean',
    default: false,
    help: 'a pod can reach itself through a Service; not with promiscMode',
  },
  promiscMode: { type: 'boolean', default: false, help: 'set the bridge promiscuous' },
  vlan: { type: 'integer', range: [0, 4094], default: 0, help: 'untagged VLAN of the port; 0: none' },
  vlanTrunk: { type: 'list of {id} or {minID, maxID}', help: 'VLANs that the port carries tagged' },
  preserveDefaultVlan: {
    type: 'boolean',
    default: false,
    help: 'leave the port in the VLAN into which the bridge puts new ports',
  },
  macspoofchk: { type: 'boolean', default: false, help: "drop frames of the pod whose source MAC is not the pod's" },
  enabledad: { type: 'boolean', default: false, help: 'wait for duplicate address detection (IPv6)' },
  disableContainerInterface: {
    type: 'boolean',
    default: false,
    help: 'leave the interface in the pod down; not with ipam',
  },
  portIsolation: { type: 'boolean', default: false, help: 'pods on this bridge do not reach each other' },
  ipam: {
    type: 'object',
    help: 'the plugin that gives addresses: its type and its keys; absent: no addresses (layer 2)',
  },
  dns: { type: 'object', help: 'nameservers, domain, search, options; absent: those of the ipam plugin' },
  'runtimeConfig.mac': { type: 'string', help: "the pod's MAC; wins over args.cni.mac and MAC in CNI_ARGS" },
  'args.cni.mac': { type: 'string', help: "the pod's MAC" },
  execDelegates: {
    type: 'boolean',
    default: false,
    help: 'execute host-local from CNI_PATH; the reference plugin does not know this key',
  },
} as const satisfies KeyDocs;

/** Keys below `ipam`, except those of runtimeConfig and args. */
export const hostLocalDocs = {
  ranges: {
    type: 'list of lists of {subnet, rangeStart, rangeEnd, gateway}',
    help: 'a pod gets one address from each list; by default rangeStart and gateway are the first address of subnet, and rangeEnd the last',
  },
  subnet: { type: 'CIDR', help: 'a single range without a list; rangeStart, rangeEnd and gateway are then beside it' },
  rangeStart: { type: 'address', help: 'first address of the range in `subnet`; absent: the first of `subnet`' },
  rangeEnd: { type: 'address', help: 'last address of the range in `subnet`; absent: the last of `subnet`' },
  gateway: { type: 'address', help: 'gateway in `subnet`; absent: the first address of `subnet`' },
  routes: { type: 'list of {dst, gw}', help: 'routes of the pod; also mtu, advmss, priority, table, scope' },
  dataDir: {
    type: 'string',
    default: '/var/lib/cni/networks',
    help: 'folder of the address files, with one folder in it for each network',
  },
  resolvConf: { type: 'string', help: 'a resolv.conf whose nameservers the pod gets' },
  'runtimeConfig.ipRanges': { type: 'as ranges', help: 'further lists, which come before those of ranges' },
  'runtimeConfig.ips': {
    type: 'list of addresses',
    help: 'requested addresses; also args.cni.ips, and IP in CNI_ARGS',
  },
  'args.cni.ips': { type: 'list of addresses', help: 'requested addresses' },
} as const satisfies KeyDocs;

export const portmapDocs = {
  backend: {
    type: 'string',
    help: 'nftables or iptables; absent: the one in whose language the conditions are, or the first that works of nftables and iptables',
  },
  snat: {
    type: 'boolean',
    default: true,
    help: 'masquerade packets whose answers would not come back otherwise: from the host itself, and from a pod to itself',
  },
  masqAll: { type: 'boolean', default: false, help: 'masquerade all packets to mapped ports' },
  markMasqBit: { type: 'integer', range: [0, 31], default: 13, help: 'bit of the mark for packets to masquerade' },
  externalSetMarkChain: {
    type: 'string',
    help: 'iptables: a chain of another program that sets the mark; not with markMasqBit',
  },
  conditionsV4: { type: 'list of strings', help: "conditions of the entry rule, in the backend's language" },
  conditionsV6: { type: 'list of strings', help: 'the same for IPv6' },
  'runtimeConfig.portMappings': {
    type: 'list of {hostPort, containerPort, protocol, hostIP}',
    help: 'given by the runtime with capabilities.portMappings; protocol is tcp, udp or sctp',
  },
} as const satisfies KeyDocs;

export const bandwidthDocs = {
  ingressRate: { type: 'integer', help: 'bits a second towards the pod, at least 8, with ingressBurst' },
  ingressBurst: { type: 'integer', help: 'size of a burst in bits, 8 to 34359738359' },
  egressRate: { type: 'integer', help: 'bits a second from the pod, at least 8, with egressBurst' },
  egressBurst: { type: 'integer', help: 'size of a burst in bits, 8 to 34359738359' },
  shapedSubnets: { type: 'list of CIDRs', help: 'ignored with a line on stderr, since all traffic is limited' },
  unshapedSubnets: { type: 'list of CIDRs', help: 'ignored with a line on stderr, since all traffic is limited' },
  'runtimeConfig.bandwidth': {
    type: 'object of the keys above',
    help: 'given by the runtime with capabilities.bandwidth; used only when none of those keys is given',
  },
} as const satisfies KeyDocs;
