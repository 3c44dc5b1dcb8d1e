// Computes the peers that the kernel should have for a set of leases. A pure function that does not depend on the order of the leases. As
// in flannel's pkg/backend/vxlan, each peer has a neighbour, an FDB entry, and a route via its subnet's first address.

import { formatIp, formatPrefix } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import { addressKey, type ObjectKey } from '../../dataplane/objects/kind.ts';
import { NexthopIds } from '../../dataplane/objects/nexthop-ids.ts';
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
  for (const { key, lease } of inOrderOfCreation(leases)) {
    const peer = peerOrProblem(key, lease, config, problems);
    if (peer !== undefined) candidates.push(peer);
    if (++read % STEP === 0) yield;
  }
  const all = new PlacedPeers(candidates, config);
  let placed = 0;
  for (const peer of candidates) {
    const reason = all.add(peer);
    if (reason !== undefined) problems.push({ key: peer.key, reason });
    if (++placed % STEP === 0) yield;
  }
  problems.sort(byKey);
  return { peers: all.peers, problems, doubts: all.doubts, isContested: all.isContested };
}

function byKey(a: PeerProblem, b: PeerProblem): number {
  return a.key < b.key ? -1 : 1;
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
 * The peers that can be programmed together. They are added in the order in which the store got them: of two with overlapping subnets, or
 * with one MAC at two addresses (the FDB has one address for a MAC), the older stays, so that no node loses its place to a younger lease.
 */
class PlacedPeers {
  readonly peers: PlacedPeer[] = [];
  /** Nodes with the same public address: they are behind one NAT, or one is a copied machine. The younger one is reported. */
  readonly doubts: PeerProblem[] = [];
  readonly #subnets: SubnetIndex;
  readonly #ids: NexthopIds | undefined;
  readonly #byMac = new Map<Mac, Peer>();
  readonly #byAddress = new Map<ObjectKey, Peer>();
  /** Whether any peer has other objects than it would have if it were the only one, or is left out. */
  #isOdd = false;

  constructor(candidates: readonly Peer[], { network, foreignNexthopIds }: DesiredConfig) {
    this.#subnets = new SubnetIndex(candidates.map(({ subnet }) => subnet));
    this.#ids = foreignNexthopIds && new NexthopIds(network, foreignNexthopIds);
  }

  get isContested(): boolean {
    return this.#isOdd || this.doubts.length > 0 || this.#ids?.areAllPreferred === false;
  }

  /** Returns why the peer is left out, or undefined when it is not. */
  add(peer: Peer): string | undefined {
    const { key, subnet, publicIp, mac } = peer;
    // Two subnets with the same MAC and address are a node whose old lease has not expired, so both stay. The first has the FDB entry.
    const sameMac = this.#byMac.get(mac);
    if (sameMac !== undefined) this.#isOdd = true;
    const overlapping = this.#subnets.findOverlap(subnet);
    if (overlapping !== undefined)
      return this.#leftOut(`subnet ${formatPrefix(subnet)} overlaps that of ${overlapping}`);
    if (sameMac !== undefined && sameMac.publicIp.value !== publicIp.value) {
      return this.#leftOut(`VtepMAC ${mac} is also that of ${sameMac.key}`);
    }
    const nexthopId = this.#ids?.take(subnet);
    if (this.#ids !== undefined && nexthopId === undefined) {
      return this.#leftOut('no nexthop id of the reserved range is free');
    }
    this.#subnets.add(subnet, key);
    if (sameMac === undefined) this.#byMac.set(mac, peer);
    this.#doubtAddress(peer);
    this.peers.push({ key, subnet, publicIp, mac, nexthopId, hasFdb: sameMac === undefined });
    return undefined;
  }

  #leftOut(reason: string): string {
    this.#isOdd = true;
    return reason;
  }

  #doubtAddress(peer: Peer): void {
    const { key, publicIp, mac } = peer;
    const address = addressKey(publicIp);
    const other = this.#byAddress.get(address);
    if (other === undefined) this.#byAddress.set(address, peer);
    else if (other.mac !== mac) {
      this.doubts.push({ key, reason: `public IP ${formatIp(publicIp)} is also that of ${other.key}` });
    }
  }
}
