// Describes the keys of net-conf.json for users; the keys of `Backend` are described in each backend's file. TypeScript checks that
// the table has exactly the keys that are parsed, and a test compares ranges and defaults with the parser.

import type { KeyDoc } from './key-doc.ts';
import type { netConfKeys } from './net-conf.ts';

export const netConfDocs: Readonly<Record<(typeof netConfKeys)[number], KeyDoc>> = {
  EnableIPv4: { type: 'boolean', default: true, help: 'pods have IPv4 addresses' },
  EnableIPv6: { type: 'boolean', default: false, help: 'pods have IPv6 addresses' },
  EnableNFTables: { type: 'boolean', help: 'true or absent: rules are written in nftables; false: in iptables' },
  Network: { type: 'IPv4 CIDR', help: 'IPv4 network of all pods; required with EnableIPv4' },
  IPv6Network: { type: 'IPv6 CIDR', help: 'IPv6 network of all pods; required with EnableIPv6' },
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
    help: 'destinations outside the network for which pods are not masqueraded; flannel ignores this key',
  },
  Backend: { type: 'object', help: 'how packets get from node to node (see below); absent: vxlan' },
};
