// Computes the peers that the kernel should have for a set of leases. A pure function that does not depend on the order of the leases. As
// in flannel's pkg/backend/vxlan, each peer has a neighbour, an FDB entry, and a route via its subnet's first address.

import { formatIp, formatPrefix } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import { addressKey, type ObjectKey } from '../../dataplane/objects/kind.ts';
import { allocateNexthopIds, preferredNexthopId } from '../../dataplane/objects/nexthop-ids.ts';
import type { PeerProblem } from '../../health/peer-problem.ts';
import type { Lease } from '../../subnet/manager.ts';
import { inOrderOfCreation } from '../../subnet/precedence.ts';
import { PeerError } from '../lease-fields.ts';
import { SubnetIndex } from '../subnet-index.ts';
import { type OverlayConfig, type Peer, readPeer } from './vxlan-lease.ts';

export interface DesiredConfig extends OverlayConfig {
  /** Ids that other programs or an agent of another network use; undefined when the kernel has no nexthop objects. */
  readonly foreignNexthopIds: ReadonlySet<number> | undefined;
}

/**
 * A peer with everything its four kernel objects need: the neighbour (first address of the subnet → MAC), the FDB entry (MAC →
 * public IP), the nexthop and the route over it. Since thousands are kept, it is one object and not four.
 */
export interface PlacedPeer extends Peer {
  /** Undefined when the kernel has no nexthop objects; then the route goes via the subnet's first address, onlink. */
  readonly nexthopId: number | undefined;
  /** False for a second subnet of the same node; the peer with its first subnet has the FDB entry of their MAC. */
  readonly hasFdb: boolean;
}

export interface Desired {
  readonly peers: readonly PlacedPeer[];
  /** Leases that are left out, and why. They never delay the others. */
  readonly problems: readonly PeerProblem[];
  /** Peers that are programmed as their leases say, although the lease is probably a mistake. */
  readonly doubts: readonly PeerProblem[];
  /** Whether any two leases claim the same; then a change of one may affect another. */
  readonly isContested: boolean;
}

/** The peers of `leases`, without this node's own. Equal leases give equal peers, whatever their order. */
export function desired(leases: ReadonlyMap<string, Lease>, config: DesiredConfig): Desired {
  const steps = desiredInSteps(leases, config);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** How many leases are read, or peers placed, in one step: some milliseconds of work. */
const STEP = 500;

/** Like `desired`, but in steps of a few milliseconds, so that thousands of leases do not block everything else. */
export function* desiredInSteps(
  leases: ReadonlyMap<string, Lease>,
  config: DesiredConfig,
): Generator<void, Desired, void> {
  const problems: PeerProblem[] = [];
  const candidates: Peer[] = [];
  let read = 0;
  for (const [key, lease] of inOrderOfCreation(leases)) {
    const peer = peerOrProblem(key, lease, config, problems);
    if (peer !== undefined) candidates.push(peer);
    if (++read % STEP === 0) yield;
  }
  const kept = settleConflicts(candidates, problems);
  yield;
  const peers = placed(kept, config, problems);
  problems.sort(byKey);
  const doubts = sharedAddresses(peers);
  const isContested =
    peers.length < candidates.length || doubts.length > 0 || peers.some((peer) => isOdd(peer, config));
  return { peers, problems, doubts, isContested };
}

function byKey(a: PeerProblem, b: PeerProblem): number {
  return a.key < b.key ? -1 : 1;
}

/** Whether a peer has other objects than it would have if it were the only one. */
function isOdd({ subnet, nexthopId, hasFdb }: PlacedPeer, { network }: DesiredConfig): boolean {
  return !hasFdb || (nexthopId !== undefined && nexthopId !== preferredNexthopId(network, subnet));
}

export function peerOrProblem(
  key: string,
  lease: Lease,
  config: OverlayConfig,
  problems: PeerProblem[],
): Peer | undefined {
  try {
    return readPeer(key, lease, config);
  } catch (error) {
    if (!(error instanceof PeerError)) throw error;
    problems.push({ key, reason: error.message });
    return undefined;
  }
}

/**
 * `candidates` are in the order in which the store got them. Some peers cannot be programmed together: their subnets overlap, or
 * they have one MAC at two addresses (the FDB has one address for a MAC). Then the oldest stays, so that no node loses its place
 * to a younger lease. Two subnets with the same MAC and address are a node whose old lease has not expired, so both stay.
 */
function settleConflicts(candidates: readonly Peer[], problems: PeerProblem[]): Peer[] {
  const subnets = new SubnetIndex(candidates.map((peer) => peer.subnet));
  const byMac = new Map<Mac, Peer>();
  const kept: Peer[] = [];
  for (const peer of candidates) {
    const sameMac = byMac.get(peer.mac);
    const overlapping = subnets.findOverlap(peer.subnet);
    if (overlapping !== undefined) {
      const reason = `subnet ${formatPrefix(peer.subnet)} overlaps that of ${overlapping}`;
      problems.push({ key: peer.key, reason });
    } else if (sameMac !== undefined && sameMac.publicIp.value !== peer.publicIp.value) {
      problems.push({ key: peer.key, reason: `VtepMAC ${peer.mac} is also that of ${sameMac.key}` });
    } else {
      subnets.add(peer.subnet, peer.key);
      if (sameMac === undefined) byMac.set(peer.mac, peer);
      kept.push(peer);
    }
  }
  return kept;
}

/** Finds nodes with the same public address: they are behind one NAT, or one is a copied machine. The younger one is reported. */
function sharedAddresses(peers: readonly Peer[]): PeerProblem[] {
  const byAddress = new Map<ObjectKey, Peer>();
  const doubts: PeerProblem[] = [];
  for (const peer of peers) {
    const address = addressKey(peer.publicIp);
    const other = byAddress.get(address);
    if (other === undefined) byAddress.set(address, peer);
    else if (other.mac !== peer.mac) {
      doubts.push({ key: peer.key, reason: `public IP ${formatIp(peer.publicIp)} is also that of ${other.key}` });
    }
  }
  return doubts;
}

/** The peers in order, each with its nexthop id. Among peers with the same MAC the first gets the FDB entry. */
function placed(peers: readonly Peer[], config: DesiredConfig, problems: PeerProblem[]): PlacedPeer[] {
  const ids = nexthopIds(peers, config);
  const macs = new Set<Mac>();
  const all: PlacedPeer[] = [];
  let at = 0;
  for (const { key, subnet, publicIp, mac } of peers) {
    const nexthopId = ids?.[at++];
    if (ids !== undefined && nexthopId === undefined) {
      problems.push({ key, reason: 'no nexthop id of the reserved range is free' });
      continue;
    }
    const before = macs.size;
    macs.add(mac);
    all.push({ key, subnet, publicIp, mac, nexthopId, hasFdb: macs.size > before });
  }
  return all;
}

function nexthopIds(peers: readonly Peer[], config: DesiredConfig): (number | undefined)[] | undefined {
  if (config.foreignNexthopIds === undefined) return undefined;
  return allocateNexthopIds(
    config.network,
    peers.map((peer) => peer.subnet),
    config.foreignNexthopIds,
  );
}
