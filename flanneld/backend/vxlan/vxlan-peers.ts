// The peers of a VXLAN overlay and what each needs in the kernel. That is a neighbour, an FDB entry, a nexthop and a route
// through the tunnel. With DirectRouting, a peer on the external interface's own link needs only one route there.

import { breathe } from '../../../lib/clock-node.ts';
import type { Mirror } from '../../dataplane/mirror.ts';
import { fdb } from '../../dataplane/objects/fdb.ts';
import { type Place, type WantedObject, wanted } from '../../dataplane/objects/kind.ts';
import { neigh } from '../../dataplane/objects/neigh.ts';
import { isOurNexthop, nexthop } from '../../dataplane/objects/nexthop.ts';
import { route } from '../../dataplane/objects/route.ts';
import type { PeerChange, Plan } from '../../dataplane/plan.ts';
import type { Lease, LeaseSnapshot } from '../../subnet/manager.ts';
import type { PlanContext } from '../backend.ts';
import { type OnLink, withDirect } from '../on-link.ts';
import { type Desired, type DesiredConfig, desiredInSteps, type PlacedPeer } from './desired.ts';
import { DesiredPeers } from './desired-peers.ts';
import type { OverlayConfig } from './vxlan-lease.ts';

export interface VxlanPeer extends PlacedPeer {
  /** Whether the peer is on the external interface's own link, so that it needs no tunnel. */
  readonly isDirect?: boolean;
}

export const VXLAN_KINDS = [neigh, fdb, nexthop, route];

/**
 * The objects that a peer needs, or only those of the kind `only`. The route comes last: with a route but no neighbour the kernel would ask
 * for the gateway's MAC.
 */
export function vxlanObjects(peer: VxlanPeer, only?: unknown): WantedObject[] {
  const { subnet: destination, publicIp, mac, nexthopId, hasFdb, isDirect = false } = peer;
  if (isDirect) return [wanted(route, { destination, gateway: publicIp, by: 'underlay' })];
  const gateway = destination.ip;
  const objects: WantedObject[] = [];
  const isAsked = (kind: unknown): boolean => only === undefined || only === kind;
  if (isAsked(neigh)) objects.push(wanted(neigh, { destination: gateway, mac }));
  if (hasFdb && isAsked(fdb)) objects.push(wanted(fdb, { mac, destination: publicIp }));
  if (nexthopId !== undefined && isAsked(nexthop)) objects.push(wanted(nexthop, { id: nexthopId, gateway }));
  if (!isAsked(route)) return objects;
  const over = nexthopId === undefined ? {} : { nexthopId };
  objects.push(wanted(route, { destination, gateway, by: 'tunnel', ...over }));
  return objects;
}

type ForeignIds = ReadonlySet<number> | undefined;

/** Ids in our range that other programs use; undefined when the kernel has no nexthop objects. */
export function foreignNexthopIds(mirror: Mirror, place: Pick<Place, 'tunnel'>): ForeignIds {
  if (!mirror.supports(nexthop)) return undefined;
  const foreign = new Set<number>();
  // A nexthop that is as wanted belongs to us.
  for (const have of mirror.otherObjects(nexthop)) if (!isOurNexthop(have, place)) foreign.add(have.id);
  return foreign;
}

/** The last plan, and the other values that it was computed from. */
interface Last {
  readonly plan: Plan<VxlanPeer>;
  readonly onLink: object | undefined;
  /** Problems of the store; the next field has those of the leases themselves. */
  readonly problems: object;
  readonly own: object;
}

/** Computes the peers; after a small change only those that changed. */
export class VxlanPlanner {
  readonly #config: OverlayConfig;
  readonly #onLink: OnLink | undefined;
  #foreign: { readonly version: number; readonly index: number | undefined; readonly ids: ForeignIds } | undefined;
  #known: { readonly ids: ForeignIds; readonly desired: DesiredPeers } | undefined;
  #last: Last | undefined;

  /** `onLink` is given with DirectRouting and says which peers are on the link. */
  constructor(config: OverlayConfig, onLink: OnLink | undefined) {
    this.#config = config;
    this.#onLink = onLink;
  }

  async plan(
    { leases, problems }: LeaseSnapshot,
    { mirror, place, isRerouted }: PlanContext,
  ): Promise<Plan<VxlanPeer>> {
    const { desired, changes } = await this.#desired(leases, this.#foreignIds(mirror, place));
    const onLink = await this.#onLink?.ask(desired.peers.values(), place.underlay, isRerouted);
    const last = this.#last;
    const isStep = last !== undefined && changes !== undefined && last.onLink === onLink;
    const isSame = last?.problems === problems && last.own === desired.problems;
    if (isStep && changes.length === 0 && isSame) return last.plan;
    const plan = {
      peers: onLink === undefined ? desired.peers : withDirect(desired.peers, onLink),
      problems: [...problems, ...desired.problems],
      doubts: desired.doubts,
      ...(isStep && onLink === undefined && { step: { from: last.plan, changes } }),
    };
    this.#last = { plan, onLink, problems, own: desired.problems };
    return plan;
  }

  #foreignIds(mirror: Mirror, place: Place): ForeignIds {
    const [version, index] = [mirror.versionOf(nexthop), place.tunnel?.index];
    if (this.#foreign?.version !== version || this.#foreign.index !== index) {
      this.#foreign = { version, index, ids: foreignNexthopIds(mirror, place) };
    }
    return this.#foreign.ids;
  }

  /** The peers, and those that have changed since the last call; `changes` is undefined when all may have changed. */
  async #desired(
    leases: ReadonlyMap<string, Lease>,
    ids: ForeignIds,
  ): Promise<{ desired: DesiredPeers; changes: readonly PeerChange<VxlanPeer>[] | undefined }> {
    const known = this.#known;
    const changes = known !== undefined && sameIds(known.ids, ids) ? known.desired.update(leases) : undefined;
    if (known !== undefined && changes !== undefined) return { desired: known.desired, changes };
    const config = { ...this.#config, foreignNexthopIds: ids };
    const desired = new DesiredPeers(await desiredSlowly(leases, config), leases, config, known?.desired.peers);
    this.#known = { ids, desired };
    return { desired, changes: undefined };
  }
}

/** Computes in steps, so that other work can run in between. */
async function desiredSlowly(leases: ReadonlyMap<string, Lease>, config: DesiredConfig): Promise<Desired> {
  const steps = desiredInSteps(leases, config);
  let step = steps.next();
  for (; step.done !== true; step = steps.next()) await breathe();
  return step.value;
}

function sameIds(a: ForeignIds, b: ForeignIds): boolean {
  if (a === undefined || b === undefined || a === b) return a === b;
  return a.size === b.size && [...a].every((id) => b.has(id));
}
