// What the kernel should carry for a set of leases: a pure function, whatever the order the leases came in
// (flannel's per-peer state: neighbour, FDB entry, route through the peer's subnet base; facts of pkg/backend/vxlan).

import { formatIp, formatPrefix, type IpPrefix, networkOf } from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { Lease } from '../subnet/manager.ts';
import { inOrderOfCreation } from '../subnet/precedence.ts';
import { allocateNexthopIds, preferredNexthopId } from './nexthop-ids.ts';
import { destinationKey } from './objects/route.ts';
import { type OverlayConfig, type Peer, PeerError, readPeer } from './peer.ts';

export interface DesiredConfig extends OverlayConfig {
  /** Ids that other programs (or an agent of another network) hold; undefined where the kernel has no nexthop objects. */
  readonly foreignNexthopIds: ReadonlySet<number> | undefined;
}

/**
 * A peer as the device should carry it: a neighbour (the subnet's base → MAC), an FDB entry (MAC → public IP), a nexthop
 * (via the base) and a route over it. One object, not one for each of the four: thousands of them are kept.
 */
export interface PlacedPeer extends Peer {
  /** Undefined where the kernel has no nexthop objects: then a plain route via the base, onlink. */
  readonly nexthopId: number | undefined;
  /** False for another subnet of a peer before it, which has the FDB entry of their MAC. */
  readonly hasFdb: boolean;
}

export interface Desired {
  readonly peers: readonly PlacedPeer[];
  /** Leases that are left out, by key; they never delay the others. */
  readonly problems: readonly PeerProblem[];
  /** Peers that are programmed as their leases say, which may not be what somebody meant. */
  readonly doubts: readonly PeerProblem[];
  /** Whether two leases ask for the same anywhere: then a change of one may concern another. */
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

/** Leases read, or peers placed, between two steps: some milliseconds of work. */
const STEP = 500;

/** As `desired`, but stopping every few milliseconds, so that thousands of leases need not hold up everything else. */
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

/** Whether a peer has not what it would have if it were alone. */
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
 * `candidates` come in the order in which the store got them. Of peers that cannot be programmed together (overlapping
 * subnets; one MAC at two addresses: the FDB holds one address a MAC) the eldest stays, so that nobody loses his place to
 * a lease written later. One MAC and address with two subnets is one node whose old lease has not expired: both stay.
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

/** Two nodes with one public address: NAT in front of both, or a copied machine. The later one is named. */
function sharedAddresses(peers: readonly Peer[]): PeerProblem[] {
  const byAddress = new Map<bigint, Peer>();
  const doubts: PeerProblem[] = [];
  for (const peer of peers) {
    const other = byAddress.get(peer.publicIp.value);
    if (other === undefined) byAddress.set(peer.publicIp.value, peer);
    else if (other.mac !== peer.mac) {
      doubts.push({ key: peer.key, reason: `public IP ${formatIp(peer.publicIp)} is also that of ${other.key}` });
    }
  }
  return doubts;
}

/** Subnets kept so far, of one family, and their keys. Almost all have one length: then each question is one look-up. */
export class SubnetIndex {
  /** The lengths that occur, shortest first. */
  readonly #lengths: readonly number[];
  readonly #kept = new Map<bigint, string>();
  /** For every length that occurs: the prefixes of that length in which something kept lies, and its key. */
  readonly #covering = new Map<bigint, string>();

  constructor(all: readonly IpPrefix[]) {
    this.#lengths = [...new Set(all.map((subnet) => subnet.length))].sort((a, b) => a - b);
  }

  /** The key of what was kept first among those around the subnet, else of what lies inside it. */
  findOverlap(subnet: IpPrefix): string | undefined {
    for (const length of this.#lengths) {
      if (length >= subnet.length) break;
      const around = this.#kept.get(destinationKey(networkOf({ ip: subnet.ip, length })));
      if (around !== undefined) return around;
    }
    return this.#covering.get(destinationKey(subnet));
  }

  add(subnet: IpPrefix, key: string): void {
    this.#kept.set(destinationKey(subnet), key);
    for (const length of this.#lengths) {
      if (length > subnet.length) break;
      const covering = destinationKey(networkOf({ ip: subnet.ip, length }));
      if (!this.#covering.has(covering)) this.#covering.set(covering, key);
    }
  }
}

/** Peers in their order, each with its nexthop id; of those with one MAC the first has the FDB entry. */
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
