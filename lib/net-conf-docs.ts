// The keys of net-conf.json as users are told of them. TypeScript holds the tables to the keys that are parsed, a test
// holds ranges and defaults to the parser.

import type { backendKeys } from './backend-conf.ts';
import type { KeyDoc } from './key-doc.ts';
import type { netConfKeys } from './net-conf.ts';

export const netConfDocs: Readonly<Record<(typeof netConfKeys)[number], KeyDoc>> = {
  EnableIPv4: { type: 'boolean', default: true, help: 'pods have IPv4 addresses' },
  EnableIPv6: { type: 'boolean', default: false, help: 'pods have IPv6 addresses' },
  EnableNFTables: { type: 'boolean', help: 'false: iptables; true or absent: nftables' },
  Network: { type: 'IPv4 CIDR', help: 'of all pods; required with EnableIPv4' },
  IPv6Network: { type: 'IPv6 CIDR', help: 'of all pods; required with EnableIPv6' },
  SubnetLen: {
    type: 'integer',
    range: [0, 32],
    default: 0,
    help: "prefix length of a node's subnet, with etcd and directory store; 0: 24, or two more than Network's",
  },
  SubnetMin: { type: 'IPv4 address', help: 'first subnet to lease; absent: the second of Network' },
  SubnetMax: { type: 'IPv4 address', help: 'last subnet to lease; absent: the last of Network' },
  IPv6SubnetLen: {
    type: 'integer',
    range: [0, 128],
    default: 0,
    help: "prefix length of a node's subnet, with etcd and directory store; 0: 64, or two more than IPv6Network's",
  },
  IPv6SubnetMin: { type: 'IPv6 address', help: 'first subnet to lease; absent: the second of IPv6Network' },
  IPv6SubnetMax: { type: 'IPv6 address', help: 'last subnet to lease; absent: the last of IPv6Network' },
  NonMasqueradeCIDRs: {
    type: 'list of CIDRs',
    help: 'destinations outside the network that see the addresses of pods; not known to flannel',
  },
  Backend: { type: 'object', help: 'how packets get from node to node, below; absent: vxlan' },
};

const type: KeyDoc = { type: 'string', help: 'the name of the backend, in any case; required' };

export const backendDocs: {
  readonly [Type in keyof typeof backendKeys]: Readonly<Record<(typeof backendKeys)[Type][number], KeyDoc>>;
} = {
  vxlan: {
    Type: type,
    VNI: {
      type: 'integer',
      range: [1, 0xffffff],
      default: 1,
      help: 'VXLAN network identifier; the device is flannel.VNI',
    },
    Port: { type: 'integer', range: [0, 65_535], default: 8472, help: 'UDP port of every node; 0: the default' },
    MTU: {
      type: 'integer',
      help: 'of the underlay, 118–65535 (with EnableIPv6 from 1350); absent or 0: that of the external interface. Pods get 50 less, over IPv6 70',
    },
    GBP: { type: 'boolean', default: false, help: 'carry group policy marks (draft-smith-vxlan-group-policy)' },
    Learning: { type: 'boolean', default: false, help: 'let the device learn MACs from traffic' },
    DirectRouting: {
      type: 'boolean',
      default: false,
      help: "reach peers on the external interface's own link without the tunnel",
    },
    MacPrefix: { type: 'string', help: 'ignored: of Windows nodes' },
    Name: { type: 'string', help: 'ignored: of Windows nodes' },
  },
  'host-gw': { Type: type },
  alloc: { Type: type },
  udp: {
    Type: type,
    Port: { type: 'integer', range: [0, 65_535], default: 8285, help: 'UDP port of every node; 0: the default' },
  },
  extension: {
    Type: type,
    PreStartupCommand: { type: 'string', help: 'run before the lease is taken; its output is what the lease carries' },
    PostStartupCommand: { type: 'string', help: 'run when the lease is taken' },
    SubnetAddCommand: { type: 'string', help: "run for each peer's subnet; the lease's data is its input" },
    SubnetRemoveCommand: { type: 'string', help: 'run when a peer has gone' },
    ShutdownCommand: { type: 'string', help: 'run when the agent is told to stop; not known to flannel' },
  },
};
