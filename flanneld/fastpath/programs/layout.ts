// The maps of the fast path and the layout of their values, as the programs read and the agent writes them.

import type { MapSpec } from '../../../lib/bpf/map.ts';
import { type Family, type Ip, ipToBytes } from '../../../lib/ip.ts';
import { type Mac, macToBytes } from '../../../lib/mac.ts';
import { podValue } from '../../../lib/pods/fast-path-pods.ts';
import { type PeerReason, peerReasons, reasons } from './reasons.ts';

/** Twice the largest number of nodes that flannel allows in a cluster. */
const MOST_PEERS = 16_384;

/** The first address of a peer's subnet → its VTEP. */
export const peerValue = {
  bytes: 48 + 8 * peerReasons.length,
  /** The Ethernet addresses of frames to the peer: its VTEP as destination, then ours as source. */
  macs: 0,
  /** u32 in network order: the peer's IPv4 address in the underlay; 0 where only the tunnel's device encapsulates. */
  outer: 12,
  /** u64 each: packets that were redirected. */
  sent: 16,
  received: 24,
  /** u64 each: packets that went another way, by reason. */
  slow: 48,
  /**
   * Written only by the program: the next hop (u32, in network order) and the MTU (u32) of the way to the peer, and until when they are
   * valid (u64).
   */
  nextHop: 32,
  wayMtu: 36,
  wayUntil: 40,
} as const;

export function slowOfPeer(reason: PeerReason): number {
  return peerValue.slow + 8 * peerReasons.indexOf(reason);
}

/** One value. */
export const stateValue = {
  bytes: 24,
  /** u64: until when programs may redirect, in nanoseconds of CLOCK_MONOTONIC. */
  until: 0,
  /** Written only by programs: for which `until` they have asked the clock (u64), and the tick from which they ask again (u64). */
  asked: 8,
  askAgain: 16,
} as const;

export const peersMap = (family: Family): MapSpec => ({
  name: `weft_peers${family}`,
  type: 'hash',
  keyBytes: addressBytes(family),
  valueBytes: peerValue.bytes,
  maxEntries: MOST_PEERS,
});

export const stateMap: MapSpec = {
  name: 'weft_state',
  type: 'array',
  keyBytes: 4,
  valueBytes: stateValue.bytes,
  maxEntries: 1,
};

/** Packets by reason, for each processor. */
export const countersMap: MapSpec = {
  name: 'weft_counters',
  type: 'percpu-array',
  keyBytes: 4,
  valueBytes: 8,
  maxEntries: reasons.length,
};

function addressBytes(family: Family): number {
  return family === 4 ? 4 : 16;
}

/** The key for the address of a pod or subnet, in network order. */
export function addressKey(ip: Ip): Uint8Array {
  return ipToBytes(ip);
}

/** A pod in its map. */
export interface PodEntry {
  readonly ifindex: number;
  readonly podMac: Mac;
  readonly bridgeMac: Mac;
}

export function encodePod(pod: PodEntry): Uint8Array {
  const bytes = new Uint8Array(podValue.bytes);
  new DataView(bytes.buffer).setUint32(podValue.ifindex, pod.ifindex, true);
  bytes.set(macToBytes(pod.podMac), podValue.macs);
  bytes.set(macToBytes(pod.bridgeMac), podValue.bridgeMac);
  return bytes;
}

/** A peer in its map. */
export interface PeerEntry {
  readonly peerMac: Mac;
  readonly ownMac: Mac;
  /** The peer's IPv4 address in the underlay, if programs encapsulate and decapsulate. */
  readonly outer?: Ip;
}

/** The value of a peer, with all counters at 0. */
export function encodePeer(peer: PeerEntry): Uint8Array {
  const bytes = new Uint8Array(peerValue.bytes);
  bytes.set(macToBytes(peer.peerMac), peerValue.macs);
  bytes.set(macToBytes(peer.ownMac), peerValue.macs + 6);
  if (peer.outer !== undefined) bytes.set(addressKey(peer.outer), peerValue.outer);
  return bytes;
}
