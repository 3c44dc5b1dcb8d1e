// The peers of a VXLAN overlay, and what each needs in the kernel: a neighbour, an FDB entry, a nexthop and a route through
// the tunnel; or, with DirectRouting and on the external interface's own link, one route there.

import { breathe } from '../../../lib/clock-node.ts';
import { type Desired, type DesiredConfig, desiredInSteps, type PlacedPeer } from '../../dataplane/desired.ts';
import { updateDesired } from '../../dataplane/desired-update.ts';
import type { Mirror } from '../../dataplane/mirror.ts';
import { fdb } from '../../dataplane/objects/fdb.ts';
import { type Place, type WantedObject, wanted } from '../../dataplane/objects/kind.ts';
import { neigh } from '../../dataplane/objects/neigh.ts';
import { isOurNexthop, nexthop } from '../../dataplane/objects/nexthop.ts';
import { route } from '../../dataplane/objects/route.ts';
import type { OverlayConfig } from '../../dataplane/peer.ts';
import type { Plan } from '../../dataplane/plan.ts';
import type { Lease, LeaseSnapshot } from '../../subnet/manager.ts';
import type { PlanContext } from '../backend.ts';
import type { OnLink } from './on-link.ts';

export interface VxlanPeer extends PlacedPeer {
  /** On the external interface's own link, so that it needs no tunnel. */
  readonly isDirect?: boolean;
}

export const VXLAN_KINDS = [neigh, fdb, nexthop, route];

/** What a peer needs, the route last: before that the kernel would ask who has the gateway. */
export function vxlanObjects(peer: VxlanPeer): WantedObject[] {
  const { subnet: destination, publicIp, mac, nexthopId, hasFdb, isDirect = false } = peer;
  if (isDirect) return [wanted(route, { destination, gateway: publicIp, by: 'underlay' })];
  const gateway = destination.ip;
  const objects = [wanted(neigh, { destination: gateway, mac })];
  if (hasFdb) objects.push(wanted(fdb, { mac, destination: publicIp }));
  if (nexthopId === undefined) return [...objects, wanted(route, { destination, gateway, by: 'tunnel' })];
  objects.push(wanted(nexthop, { id: nexthopId, gateway }));
  objects.push(wanted(route, { destination, gateway, by: 'tunnel', nexthopId }));
  return objects;
}

/** Ids of our range that others hold; undefined where the kernel has no nexthop objects. */
export function foreignNexthopIds(mirror: Mirror, place: Pick<Place, 'tunnel'>): ReadonlySet<number> | undefined {
  if (!mirror.supports(nexthop)) return undefined;
  const foreign = new Set<number>();
  for (const have of mirror.objects(nexthop)) if (!isOurNexthop(have, place)) foreign.add(have.id);
  return foreign;
}

interface Known {
  readonly leases: ReadonlyMap<string, Lease>;
  readonly config: DesiredConfig;
  readonly desired: Desired;
}

/** Works out who the peers are, and no more of it than has changed. */
export class VxlanPlanner {
  readonly #config: OverlayConfig;
  readonly #onLink: OnLink | undefined;
  #known: Known | undefined;
  #last: { readonly desired: Desired; readonly onLink: object | undefined; readonly problems: object } | undefined;
  #plan: Plan<VxlanPeer> | undefined;

  /** `onLink`: with DirectRouting, who is asked which peers are on the link. */
  constructor(config: OverlayConfig, onLink: OnLink | undefined) {
    this.#config = config;
    this.#onLink = onLink;
  }

  async plan(
    { leases, problems }: LeaseSnapshot,
    { mirror, place, isRerouted }: PlanContext,
  ): Promise<Plan<VxlanPeer>> {
    const desired = await this.#desired(leases, {
      ...this.#config,
      foreignNexthopIds: foreignNexthopIds(mirror, place),
    });
    const onLink = await this.#onLink?.ask(desired.peers, place.underlay, isRerouted);
    const last = this.#last;
    const isSame = last?.desired === desired && last.onLink === onLink && last.problems === problems;
    if (isSame && this.#plan !== undefined) return this.#plan;
    this.#last = { desired, onLink, problems };
    const peers = new Map<string, VxlanPeer>();
    for (const peer of desired.peers) {
      peers.set(peer.key, onLink?.has(peer.publicIp.value) ? { ...peer, isDirect: true } : peer);
    }
    this.#plan = { peers, problems: [...problems, ...desired.problems], doubts: desired.doubts };
    return this.#plan;
  }

  async #desired(leases: ReadonlyMap<string, Lease>, config: DesiredConfig): Promise<Desired> {
    const known = this.#known;
    const isComparable = known !== undefined && sameIds(known.config.foreignNexthopIds, config.foreignNexthopIds);
    if (isComparable && known.leases === leases) return known.desired;
    const updated = isComparable ? updateDesired(known.desired, known.leases, leases, config) : undefined;
    const desired = updated ?? (await desiredSlowly(leases, config));
    this.#known = { leases, config, desired };
    return desired;
  }
}

/** Leaves room for other work. */
async function desiredSlowly(leases: ReadonlyMap<string, Lease>, config: DesiredConfig): Promise<Desired> {
  const steps = desiredInSteps(leases, config);
  let step = steps.next();
  for (; step.done !== true; step = steps.next()) await breathe();
  return step.value;
}

function sameIds(a: ReadonlySet<number> | undefined, b: ReadonlySet<number> | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.size === b.size && [...a].every((id) => b.has(id));
}
