// The maps of the fast path, and the bytes in them, as the programs read and the agent writes them.

import type { MapSpec } from '../../../lib/bpf/map.ts';
import { type Family, type Ip, ipToBytes } from '../../../lib/ip.ts';
import { type Mac, macToBytes } from '../../../lib/mac.ts';
import { podValue } from '../../../lib/pods/fast-path-pods.ts';
import { type PeerReason, peerReasons, reasons } from './reasons.ts';

/** As many as flannel's own maximum of nodes in a cluster, doubled. */
const MOST_PEERS = 16_384;

/** The first address of a peer's subnet → its VTEP. */
export const peerValue = {
  bytes: 48 + 8 * peerReasons.length,
  /** The destination and then the source of what the node sends to the peer: the peer's VTEP, ours. */
  macs: 0,
  /** u32 in network order: its IPv4 address in the underlay; 0 where packets are encapsulated by the tunnel's device only. */
  outer: 12,
  /** u64 each: redirected packets. */
  sent: 16,
  received: 24,
  /** u64 each: packets that went another way, by reason. */
  slow: 48,
  /** Written by the program alone: the next hop (u32, in network order) and the MTU (u32) of the way there, and until when (u64). */
  nextHop: 32,
  wayMtu: 36,
  wayUntil: 40,
} as const;

export function slowOfPeer(reason: PeerReason): number {
  return peerValue.slow + 8 * peerReasons.indexOf(reason);
}

/** One value: u64, until when programs may redirect, in nanoseconds of CLOCK_MONOTONIC. */
export const stateValue = { bytes: 8, until: 0 } as const;

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

/** A pod's or subnet's address as the key of its map: in network order. */
export function addressKey(ip: Ip): Uint8Array {
  return ipToBytes(ip);
}

/** What the map says of a pod. */
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

/** What the map says of a peer. */
export interface PeerEntry {
  readonly peerMac: Mac;
  readonly ownMac: Mac;
  /** Its IPv4 address in the underlay, if programs encapsulate and decapsulate. */
  readonly outer?: Ip;
}

/** With all counters at 0. */
export function encodePeer(peer: PeerEntry): Uint8Array {
  const bytes = new Uint8Array(peerValue.bytes);
  bytes.set(macToBytes(peer.peerMac), peerValue.macs);
  bytes.set(macToBytes(peer.ownMac), peerValue.macs + 6);
  if (peer.outer !== undefined) bytes.set(addressKey(peer.outer), peerValue.outer);
  return bytes;
}
