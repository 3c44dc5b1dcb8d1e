// The commonest change of a cluster: a peer is where it was in the network, but its VTEP is another, since the node or
// its agent was started anew. Nothing but that peer need be worked out again.

import { samePrefix } from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import type { Lease } from '../subnet/manager.ts';
import type { Desired } from './desired.ts';
import { type OverlayConfig, type Peer, PeerError, readPeer } from './peer.ts';
import type { PlacedPeer } from './state.ts';

/** After more changes than this everything is worked out anew. */
const MOST = 64;

/**
 * What is desired for `leases` when it was `before` for `earlier`, with the same configuration; undefined where more has
 * changed than the MACs and public addresses of a few peers, or where one might be in another's way.
 */
export function desiredAfterMoves(
  before: Desired,
  earlier: ReadonlyMap<string, Lease>,
  leases: ReadonlyMap<string, Lease>,
  config: OverlayConfig,
): Desired | undefined {
  if (before.problems.length > 0 || before.doubts.length > 0) return undefined;
  const moved = movedPeers(earlier, leases, config);
  const places = moved && placesOf(moved);
  if (moved === undefined || places === undefined) return undefined;
  const peers: PlacedPeer[] = [];
  let found = 0;
  for (const peer of before.peers) {
    const next = moved.get(peer.key);
    const placed = next === undefined ? leftAlone(peer, places) : movedTo(peer, next);
    // Of two with one MAC the second may have to take the FDB entry over.
    if (placed === undefined || !peer.hasFdb) return undefined;
    if (next !== undefined) found++;
    peers.push(placed);
  }
  return found === moved.size ? { peers, problems: before.problems, doubts: before.doubts } : undefined;
}

function leftAlone(peer: PlacedPeer, { macs, addresses }: Places): PlacedPeer | undefined {
  return macs.has(peer.mac) || addresses.has(peer.publicIp.value) ? undefined : peer;
}

function movedTo(peer: PlacedPeer, { subnet, mac, publicIp }: Peer): PlacedPeer | undefined {
  return samePrefix(subnet, peer.subnet) ? { ...peer, mac, publicIp } : undefined;
}

/** What only one peer can have without more ado. */
interface Places {
  readonly macs: ReadonlySet<Mac>;
  readonly addresses: ReadonlySet<bigint>;
}

/** Undefined where two have the same. */
function placesOf(moved: ReadonlyMap<string, Peer>): Places | undefined {
  const macs = new Set([...moved.values()].map(({ mac }) => mac));
  const addresses = new Set([...moved.values()].map(({ publicIp }) => publicIp.value));
  return macs.size < moved.size || addresses.size < moved.size ? undefined : { macs, addresses };
}

/** The peers whose leases are others than before; undefined where one came, went or cannot be a peer. */
function movedPeers(
  earlier: ReadonlyMap<string, Lease>,
  leases: ReadonlyMap<string, Lease>,
  config: OverlayConfig,
): Map<string, Peer> | undefined {
  if (earlier.size !== leases.size) return undefined;
  const moved = new Map<string, Peer>();
  for (const [key, lease] of leases) {
    const old = earlier.get(key);
    if (old === lease) continue;
    // A lease made anew has another place in the order.
    const isMove = old !== undefined && old.created === lease.created && moved.size < MOST;
    const peer = isMove ? peerIn(key, lease, config) : undefined;
    if (peer === undefined) return undefined;
    moved.set(key, peer);
  }
  return moved;
}

function peerIn(key: string, lease: Lease, config: OverlayConfig): Peer | undefined {
  try {
    return readPeer(key, lease, config);
  } catch (error) {
    if (error instanceof PeerError) return undefined;
    throw error;
  }
}
