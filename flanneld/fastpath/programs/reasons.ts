// Why a program redirected a packet, or left it to the kernel. The order is that of the elements in the map of counters.

/** Packets that were redirected. */
export const fastReasons = ['to-peer', 'from-peer', 'to-pod', 'encapsulated', 'decapsulated'] as const;

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
  // sender and receiver
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
  'no-device',
  'unwritable',
] as const;

/**
 * Packets of the tunnel that the programs of `full` left to the tunnel's device to encapsulate or decapsulate. Each is counted a second
 * time, when it has passed there.
 */
export const tunnelReasons = [
  // to a peer
  'no-checksum',
  'no-hash',
  'no-route',
  'no-room',
  // from a peer
  'outer',
  'outer-sender',
  'inner',
  'ecn',
] as const;

/** The reasons that are also counted for each peer; `by-device` stands for all of `tunnelReasons`. */
export const peerReasons = [
  'size',
  'segmented-udp',
  'sender',
  'destination',
  'tracked',
  'conntrack',
  'unwritable',
  'by-device',
] as const;
export type PeerReason = (typeof peerReasons)[number];

export const reasons = [...fastReasons, ...slowReasons, ...tunnelReasons] as const;
export type TunnelReason = (typeof tunnelReasons)[number];
export type Reason = (typeof reasons)[number];
export type SlowReason = (typeof slowReasons)[number];
