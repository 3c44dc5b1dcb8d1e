// The keys of each plugin's configuration as users are told of them. Not part of the executable. A test holds the tables
// to the keys that are asked for, and defaults and ranges to the parsers.

import type { KeyDoc } from '../lib/key-doc.ts';

type KeyDocs = Readonly<Record<string, KeyDoc>>;

/** Of every plugin. */
export const commonDocs = {
  cniVersion: { type: 'string', default: '0.1.0', help: '0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0 or 1.1.0' },
  name: { type: 'string', help: "the network's name: a folder of addresses has it; required" },
  type: { type: 'string', help: 'the name of the executable; required' },
} as const satisfies KeyDocs;

export const flannelDocs = {
  subnetFile: { type: 'string', default: '/run/flannel/subnet.env', help: "what the agent wrote: the node's subnet" },
  dataDir: {
    type: 'string',
    default: '/var/lib/cni/flannel',
    help: "folder where the delegate's configuration is kept until DEL",
  },
  delegate: {
    type: 'object',
    help: 'keys of the delegate; its type is bridge unless it says so. Not name and ipam: they are filled in, with mtu, ipMasq and isGateway unless given',
  },
  ipam: {
    type: 'object',
    help: "keys of the delegate's ipam beside ranges and routes; its type is host-local unless it says so",
  },
  runtimeConfig: { type: 'object', help: 'handed on to the delegate' },
  execDelegates: {
    type: 'boolean',
    default: false,
    help: 'execute delegates from CNI_PATH, also those that are built in; not known to flannel',
  },
} as const satisfies KeyDocs;

export const bridgeDocs = {
  bridge: { type: 'string', default: 'cni0', help: "the bridge's name; it is made when missing" },
  isGateway: { type: 'boolean', default: false, help: 'the bridge has the gateway address of the pods' },
  isDefaultGateway: { type: 'boolean', default: false, help: 'the same, and pods have their default route there' },
  forceAddress: { type: 'boolean', default: false, help: "replace another address of the bridge's instead of failing" },
  ipMasq: { type: 'boolean', default: false, help: 'masquerade what pods send out of their subnet' },
  ipMasqBackend: { type: 'string', help: 'nftables or iptables; absent: nftables where the host has nft' },
  mtu: { type: 'integer', default: 0, help: "of the veths; 0: the kernel's choice" },
  hairpinMode: {
    type: 'boolean',
    default: false,
    help: 'a pod reaches itself through a service; not with promiscMode',
  },
  promiscMode: { type: 'boolean', default: false, help: 'set the bridge promiscuous' },
  vlan: { type: 'integer', range: [0, 4094], default: 0, help: "the port's untagged VLAN; 0: none" },
  vlanTrunk: { type: 'list of {id} or {minID, maxID}', help: 'VLANs the port carries tagged' },
  preserveDefaultVlan: { type: 'boolean', default: false, help: 'leave the port in the VLAN it was born into' },
  macspoofchk: { type: 'boolean', default: false, help: "drop frames with another source MAC than the pod's" },
  enabledad: { type: 'boolean', default: false, help: 'wait for duplicate address detection (IPv6)' },
  disableContainerInterface: { type: 'boolean', default: false, help: "leave the pod's end down; not with ipam" },
  portIsolation: { type: 'boolean', default: false, help: 'pods on this bridge do not reach each other' },
  ipam: { type: 'object', help: 'who gives addresses: its type, and the keys of that; absent: nobody (layer 2)' },
  dns: { type: 'object', help: 'nameservers, domain, search, options; absent: what ipam says' },
  'runtimeConfig.mac': { type: 'string', help: "the pod's MAC; before args.cni.mac and MAC in CNI_ARGS" },
  'args.cni.mac': { type: 'string', help: "the pod's MAC" },
  execDelegates: { type: 'boolean', default: false, help: 'execute host-local from CNI_PATH; not known to others' },
} as const satisfies KeyDocs;

/** Below `ipam`, but for runtimeConfig and args. */
export const hostLocalDocs = {
  ranges: {
    type: 'list of lists of {subnet, rangeStart, rangeEnd, gateway}',
    help: 'one address is taken of each list; rangeStart: the first of subnet, rangeEnd: the last, gateway: the first',
  },
  subnet: { type: 'CIDR', help: 'one range without a list, with rangeStart, rangeEnd and gateway beside it' },
  rangeStart: { type: 'address', help: 'of `subnet`; absent: its first' },
  rangeEnd: { type: 'address', help: 'of `subnet`; absent: its last' },
  gateway: { type: 'address', help: 'of `subnet`; absent: its first' },
  routes: { type: 'list of {dst, gw}', help: 'routes of the pod; also mtu, advmss, priority, table, scope' },
  dataDir: {
    type: 'string',
    default: '/var/lib/cni/networks',
    help: 'folder of the address files, one folder a network',
  },
  resolvConf: { type: 'string', help: "a file whose nameservers are the pod's" },
  'runtimeConfig.ipRanges': { type: 'as ranges', help: 'lists before those of ranges' },
  'runtimeConfig.ips': {
    type: 'list of addresses',
    help: 'addresses asked for; also args.cni.ips, and IP in CNI_ARGS',
  },
  'args.cni.ips': { type: 'list of addresses', help: 'addresses asked for' },
} as const satisfies KeyDocs;

export const portmapDocs = {
  backend: {
    type: 'string',
    help: 'nftables or iptables; absent: what the conditions are written for, else whichever works, nftables first',
  },
  snat: {
    type: 'boolean',
    default: true,
    help: 'masquerade where the answer would not come back: from the host itself, and a pod to itself',
  },
  masqAll: { type: 'boolean', default: false, help: 'masquerade all that comes by a mapped port' },
  markMasqBit: { type: 'integer', range: [0, 31], default: 13, help: 'bit of the mark for packets to masquerade' },
  externalSetMarkChain: {
    type: 'string',
    help: 'iptables: a chain of others that sets the mark; not with markMasqBit',
  },
  conditionsV4: { type: 'list of strings', help: "words before the entry rule, in the backend's language" },
  conditionsV6: { type: 'list of strings', help: 'the same for IPv6' },
  'runtimeConfig.portMappings': {
    type: 'list of {hostPort, containerPort, protocol, hostIP}',
    help: 'with capabilities.portMappings, from the runtime; protocol is tcp, udp or sctp',
  },
} as const satisfies KeyDocs;

export const bandwidthDocs = {
  ingressRate: { type: 'integer', help: 'bits a second towards the pod, at least 8, with ingressBurst' },
  ingressBurst: { type: 'integer', help: 'bits at once, 8 to 34359738359' },
  egressRate: { type: 'integer', help: 'bits a second from the pod, at least 8, with egressBurst' },
  egressBurst: { type: 'integer', help: 'bits at once, 8 to 34359738359' },
  shapedSubnets: { type: 'list of CIDRs', help: 'ignored, with a line on stderr: all traffic is limited' },
  unshapedSubnets: { type: 'list of CIDRs', help: 'ignored, with a line on stderr: all traffic is limited' },
  'runtimeConfig.bandwidth': {
    type: 'object of the keys above',
    help: 'with capabilities.bandwidth, from the runtime; only where none of them is given',
  },
} as const satisfies KeyDocs;
