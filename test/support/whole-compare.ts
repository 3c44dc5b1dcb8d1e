// Compares the whole desired state with the whole present state, without a reconciler. Returns what a run would change after it has
// listed everything.

import { changesFor, type Sides } from '../../flanneld/dataplane/compare.ts';
import type { AnyKind, ObjectKey, Place, WantedObject } from '../../flanneld/dataplane/objects/kind.ts';
import type { Change, PlannedPeer } from '../../flanneld/dataplane/plan.ts';
import { WantedObjects } from '../../flanneld/dataplane/wanted-objects.ts';

/** The present state. */
export interface Present {
  entries(kind: AnyKind): Iterable<[ObjectKey, unknown]>;
}

export function wholeCompare<P extends PlannedPeer>(
  peers: readonly P[],
  { kinds, objects }: { readonly kinds: readonly AnyKind[]; objects(peer: P): readonly WantedObject[] },
  place: Place,
  present: Present,
): Change[] {
  const tables = new Map(kinds.map((kind) => [kind, new Map(present.entries(kind))]));
  const all = new Map(kinds.map((kind) => [kind, new Set<ObjectKey>()]));
  const wanted = new WantedObjects(kinds, objects);
  const touch = (kind: AnyKind, key: ObjectKey): unknown => all.get(kind)?.add(key);
  const plan = { peers: new Map(peers.map((peer) => [peer.key, peer])), problems: [], doubts: [] };
  wanted.take(plan, { gone: touch, come: touch });
  for (const kind of kinds) for (const key of tables.get(kind)?.keys() ?? []) all.get(kind)?.add(key);
  const sides: Sides<P> = {
    place,
    peerAt: (kind, key) => wanted.peerAt(kind, key),
    objectsOf: (peer) => wanted.objectsOf(peer),
    presentAt: (kind, key) => tables.get(kind)?.get(key),
    formerOwner: () => undefined,
  };
  return changesFor(all, sides);
}
