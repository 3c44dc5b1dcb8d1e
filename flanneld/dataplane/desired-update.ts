// What is desired after a few leases have changed. Among thousands of peers a change is one node that joins, leaves or has
// another VTEP; as long as no two leases ask for the same, nothing but that peer need be worked out again.

import { type IpPrefix, overlaps } from '../../lib/ip.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { Lease } from '../subnet/manager.ts';
import { type Desired, type DesiredConfig, type PlacedPeer, peerOrProblem } from './desired.ts';
import { preferredNexthopId } from './nexthop-ids.ts';
import type { Peer } from './peer.ts';

/** After more changes than this everything is worked out anew. */
const MOST = 64;

interface Changes {
  /** Keys whose leases are others than before, or are gone. */
  readonly keys: ReadonlySet<string>;
  /** What they are as peers now. */
  readonly come: ReadonlyMap<string, PlacedPeer>;
  readonly problems: readonly PeerProblem[];
}

/**
 * What is desired for `leases` when it was `before` for `earlier`, with the same configuration; undefined where more than
 * a few have changed, or where two ask for the same. The order of the peers may be another.
 */
export function updateDesired(
  before: Desired,
  earlier: ReadonlyMap<string, Lease>,
  leases: ReadonlyMap<string, Lease>,
  config: DesiredConfig,
): Desired | undefined {
  if (before.isContested) return undefined;
  const changes = changesBetween(earlier, leases, config);
  if (changes === undefined) return undefined;
  const { keys, come } = changes;
  const contests = contestsWith([...come.values()]);
  if (contests === undefined) return undefined;
  const peers: PlacedPeer[] = [];
  const left = new Map(come);
  for (const peer of before.peers) {
    if (!keys.has(peer.key)) {
      if (contests(peer)) return undefined;
      peers.push(peer);
      continue;
    }
    const next = left.get(peer.key);
    left.delete(peer.key);
    if (next !== undefined) peers.push(next);
  }
  peers.push(...left.values());
  const problems = [...before.problems.filter(({ key }) => !keys.has(key)), ...changes.problems];
  problems.sort((a, b) => (a.key < b.key ? -1 : 1));
  return { peers, problems, doubts: before.doubts, isContested: false };
}

function changesBetween(
  earlier: ReadonlyMap<string, Lease>,
  leases: ReadonlyMap<string, Lease>,
  config: DesiredConfig,
): Changes | undefined {
  const keys = changedKeys(earlier, leases);
  if (keys.size > MOST) return undefined;
  const come = new Map<string, PlacedPeer>();
  const problems: PeerProblem[] = [];
  for (const key of keys) {
    const lease = leases.get(key);
    const peer = lease && peerOrProblem(key, lease, config, problems);
    if (peer === undefined) continue;
    const placed = placedAlone(peer, config);
    if (placed === undefined) return undefined;
    come.set(key, placed);
  }
  return { keys, come, problems };
}

/** Whose leases are others, new or gone. */
function changedKeys(earlier: ReadonlyMap<string, Lease>, leases: ReadonlyMap<string, Lease>): Set<string> {
  const keys = new Set<string>();
  for (const [key, lease] of leases) if (earlier.get(key) !== lease) keys.add(key);
  for (const key of earlier.keys()) if (!leases.has(key)) keys.add(key);
  return keys;
}

/** Undefined where the id it would have alone is somebody else's. */
function placedAlone(peer: Peer, { network, foreignNexthopIds: foreign }: DesiredConfig): PlacedPeer | undefined {
  const id = foreign && preferredNexthopId(network, peer.subnet);
  if (id !== undefined && foreign?.has(id)) return undefined;
  const { key, subnet, publicIp, mac } = peer;
  return { key, subnet, publicIp, mac, nexthopId: id, hasFdb: true };
}

/** Whether a peer asks for what one of `come` has; undefined where two of these ask for the same. */
function contestsWith(come: readonly PlacedPeer[]): ((peer: PlacedPeer) => boolean) | undefined {
  const macs = new Set(come.map(({ mac }) => mac));
  const addresses = new Set(come.map(({ publicIp }) => publicIp.value));
  const ids = new Set(come.map(({ nexthopId, key }) => nexthopId ?? key));
  const subnets: IpPrefix[] = [];
  for (const { subnet } of come) {
    if (subnets.some((other) => overlaps(other, subnet))) return undefined;
    subnets.push(subnet);
  }
  if (macs.size < come.length || addresses.size < come.length || ids.size < come.length) return undefined;
  return ({ mac, publicIp, nexthopId, subnet }) =>
    macs.has(mac) ||
    addresses.has(publicIp.value) ||
    (nexthopId !== undefined && ids.has(nexthopId)) ||
    subnets.some((other) => overlaps(other, subnet));
}
