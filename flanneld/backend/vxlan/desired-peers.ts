// Keeps the desired peers up to date while leases change. Most changes concern one node among thousands that joins, leaves or gets another
// VTEP. As long as no two leases claim the same, only that peer must be computed again.

import { overlaps, sameIp, samePrefix } from '../../../lib/ip.ts';
import { changesBetween } from '../../../lib/versioned-map.ts';
import { preferredNexthopId } from '../../dataplane/objects/nexthop-ids.ts';
import type { PeerChange } from '../../dataplane/plan.ts';
import type { PeerProblem } from '../../health/peer-problem.ts';
import type { Lease } from '../../subnet/manager.ts';
import { type Desired, type DesiredConfig, type PlacedPeer, peerOrProblem } from './desired.ts';

/** With more changes than this everything is computed again. */
const MOST = 64;

export class DesiredPeers {
  readonly #config: DesiredConfig;
  readonly #isContested: boolean;
  readonly #doubts: readonly PeerProblem[];
  #leases: ReadonlyMap<string, Lease>;
  #problems: readonly PeerProblem[];
  readonly #peers = new Map<string, PlacedPeer>();

  /** `whole` is the result of `desired` for `leases`. A peer that is the same as in `earlier` stays the same object. */
  constructor(
    whole: Desired,
    leases: ReadonlyMap<string, Lease>,
    config: DesiredConfig,
    earlier?: ReadonlyMap<string, PlacedPeer>,
  ) {
    this.#config = config;
    this.#leases = leases;
    this.#isContested = whole.isContested;
    this.#problems = whole.problems;
    this.#doubts = whole.doubts;
    for (const peer of whole.peers) {
      const before = earlier?.get(peer.key);
      this.#peers.set(peer.key, before !== undefined && samePlace(before, peer) ? before : peer);
    }
  }

  get peers(): ReadonlyMap<string, PlacedPeer> {
    return this.#peers;
  }

  get problems(): readonly PeerProblem[] {
    return this.#problems;
  }

  get doubts(): readonly PeerProblem[] {
    return this.#doubts;
  }

  /**
   * Takes in the changes since the last leases and returns the changed peers. Returns undefined when many leases have changed or two claim
   * the same; then this object must not be used any more, and all peers must be computed again.
   */
  update(leases: ReadonlyMap<string, Lease>): readonly PeerChange<PlacedPeer>[] | undefined {
    if (leases === this.#leases) return [];
    if (this.#isContested) return undefined;
    const changed = changesBetween(this.#leases, leases);
    if (changed.length > MOST) return undefined;
    const keys = new Set(changed.map(({ key }) => key));
    const problems = this.#problems.filter(({ key }) => !keys.has(key));
    const changes: PeerChange<PlacedPeer>[] = [];
    for (const { key, after } of changed) {
      const change = this.#changeOf(key, after, problems);
      if (change === undefined) return undefined;
      changes.push(change);
    }
    const real = changes.filter(({ before, after }) => before !== after);
    for (const { before } of real) if (before !== undefined) this.#peers.delete(before.key);
    for (const change of real) if (!this.#take(change)) return undefined;
    if (problems.length > 0 || this.#problems.length > 0) {
      this.#problems = problems.sort((a, b) => (a.key < b.key ? -1 : 1));
    }
    this.#leases = leases;
    return real;
  }

  /** Adds the changed peer; false when another peer already has what it claims. */
  #take({ after }: PeerChange<PlacedPeer>): boolean {
    if (after === undefined) return true;
    // A search through all peers for each of the few changes needs no index, which would cost memory all the time.
    for (const other of this.#peers.values()) if (contests(after, other)) return false;
    this.#peers.set(after.key, after);
    return true;
  }

  /** The change of one peer; undefined when another program has the nexthop id that it would get. */
  #changeOf(key: string, lease: Lease | undefined, problems: PeerProblem[]): PeerChange<PlacedPeer> | undefined {
    const { network, foreignNexthopIds: foreign } = this.#config;
    const before = this.#peers.get(key);
    const peer = lease && peerOrProblem(key, lease, this.#config, problems);
    if (peer === undefined) return { key, before, after: undefined };
    const nexthopId = foreign && preferredNexthopId(network, peer.subnet);
    if (nexthopId !== undefined && foreign?.has(nexthopId)) return undefined;
    const { subnet, publicIp, mac } = peer;
    const after = { key, subnet, publicIp, mac, nexthopId, hasFdb: true };
    return { key, before, after: before !== undefined && samePlace(before, after) ? before : after };
  }
}

/** Whether two peers claim the same MAC, address or nexthop id, or subnets that overlap. */
function contests(a: PlacedPeer, b: PlacedPeer): boolean {
  if (a.mac === b.mac || a.publicIp.value === b.publicIp.value) return true;
  if (a.nexthopId !== undefined && a.nexthopId === b.nexthopId) return true;
  // Subnets have no host bits, so two of the same length overlap only if they are equal. This test takes a fifth of the time.
  if (a.subnet.length === b.subnet.length) return a.subnet.ip.value === b.subnet.ip.value;
  return overlaps(a.subnet, b.subnet);
}

function samePlace(a: PlacedPeer, b: PlacedPeer): boolean {
  if (a.nexthopId !== b.nexthopId || a.hasFdb !== b.hasFdb) return false;
  return a.mac === b.mac && sameIp(a.publicIp, b.publicIp) && samePrefix(a.subnet, b.subnet);
}
