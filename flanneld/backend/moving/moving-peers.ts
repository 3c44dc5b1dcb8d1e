// The peers of a node that moves from vxlan to WireGuard, as a pure function: each peer is reached by vxlan as before, and through
// WireGuard as soon as that works.

import type { Plan, PlannedPeer } from '../../dataplane/plan.ts';
import type { PeerProblem } from '../../health/peer-problem.ts';
import type { WireguardPlannedPeer } from '../wireguard/wireguard-peers.ts';

/** Another node, as a peer of the present backend, of WireGuard, or of both. */
export interface MovingPeer<P extends PlannedPeer> extends PlannedPeer {
  /** Absent when the node has moved, so that only WireGuard reaches it. */
  readonly former?: P;
  /** Absent when the node has no WireGuard key. */
  readonly wireguard?: WireguardPlannedPeer;
  /** Whether its pods are now reached through WireGuard. */
  readonly isEncrypted: boolean;
}

export interface WireguardPeers {
  readonly peers: readonly WireguardPlannedPeer[];
  readonly problems: readonly PeerProblem[];
}

/**
 * Joins both plans. `isAlive` says whether a handshake with the peer has succeeded recently. This proves that both nodes have each other's
 * key, so packets can go through WireGuard without loss. A node that has moved is always reached that way, because there is no other.
 */
export function joinPeers<P extends PlannedPeer>(
  former: Plan<P>,
  wireguard: WireguardPeers,
  isAlive: (peer: WireguardPlannedPeer) => boolean,
): Plan<MovingPeer<P>> {
  const peers = new Map<string, MovingPeer<P>>();
  for (const [key, peer] of former.peers) peers.set(key, { key, former: peer, isEncrypted: false });
  for (const peer of wireguard.peers) {
    const { key } = peer;
    const before = former.peers.get(key);
    peers.set(key, {
      key,
      ...(before && { former: before }),
      wireguard: peer,
      isEncrypted: before === undefined || isAlive(peer),
    });
  }
  const problems: PeerProblem[] = [...former.problems];
  const doubts: PeerProblem[] = [...former.doubts];
  const known = new Set(problems.map(({ key }) => key));
  for (const problem of wireguard.problems) {
    // A node whose key cannot be used is reached by vxlan, so this is only a doubt.
    if (former.peers.has(problem.key)) doubts.push(problem);
    else if (!known.has(problem.key)) problems.push(problem);
  }
  return { peers, problems, doubts };
}
