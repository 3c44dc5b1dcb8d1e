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
