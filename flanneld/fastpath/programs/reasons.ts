// Why a program redirected a packet, or left it to the kernel. Their order is that of the elements of the map of counters.

/** Packets that were redirected. */
export const fastReasons = ['to-peer', 'from-peer', 'to-pod'] as const;

/** Packets that went the classic way, each by the first reason that was found. */
export const slowReasons = [
  // the packet
  'not-ip',
  'short',
  'vlan',
  'options',
  'fragment',
  'ttl',
  'protocol',
  'length',
  'checksum',
  'size',
  'segmented-udp',
  // who sends it to whom
  'source',
  'sender',
  'destination',
  'not-routed',
  'not-bridged',
  'same-pod',
  // the node
  'paused',
  'tracked',
  'conntrack',
  'unwritable',
] as const;

export const reasons = [...fastReasons, ...slowReasons] as const;
export type Reason = (typeof reasons)[number];
export type SlowReason = (typeof slowReasons)[number];

/** What each means, for the reference and the help of the metrics. */
export const reasonTexts: Record<Reason, string> = {
  'to-peer': 'from a pod here into the tunnel',
  'from-peer': 'from the tunnel to a pod here',
  'to-pod': 'between two pods here',
  'not-ip': 'neither IPv4 nor IPv6, or of a family without a fast path',
  short: 'shorter than its headers, or they are not in one piece',
  vlan: 'has a VLAN tag',
  options: 'has IPv4 options',
  fragment: 'is a fragment',
  ttl: 'ends its ttl or hop limit here',
  protocol: 'neither TCP nor UDP, or IPv6 with extension headers',
  length: 'longer or shorter than its IP header says',
  checksum: 'its IPv4 header has a wrong checksum',
  size: 'exceeds the MTU',
  'segmented-udp': 'UDP that is still to be segmented',
  source: 'its source is not the address of the pod that sent it',
  sender: 'came from the tunnel, and not from the peer whose subnet its source is in',
  destination: 'its destination is neither a pod here nor in a subnet of a peer with a tunnel',
  'not-routed': 'for another node, and not sent to the bridge',
  'not-bridged': 'for a pod here, and not sent to its MAC address',
  'same-pod': 'from a pod to itself',
  paused: 'the agent has switched the fast path off, or has not been heard of for 10 s',
  tracked: 'the kernel tracks its connection: Services, NAT, policies',
  conntrack: 'the kernel could not say whether it tracks its connection',
  unwritable: 'its headers could not be written',
};
