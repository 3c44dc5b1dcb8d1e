// Compares the whole desired state with the whole present state, without a reconciler. Returns what a run would change after it has
// listed everything.

import { changesFor, type Sides } from '../../flanneld/dataplane/compare.ts';
import type { Differences } from '../../flanneld/dataplane/mirror.ts';
import type { AnyKind, ObjectKey, Place, WantedObject } from '../../flanneld/dataplane/objects/kind.ts';
import type { Change, PlannedPeer } from '../../flanneld/dataplane/plan.ts';
import { WantedObjects } from '../../flanneld/dataplane/wanted-objects.ts';

/** The present state. */
export interface Present {
  entries(kind: AnyKind): Iterable<[ObjectKey, unknown]>;
}

export interface OwnedChange extends Change {
  readonly owner: string;
}

export function wholeCompare<P extends PlannedPeer>(
  peers: readonly P[],
  { kinds, objects }: { readonly kinds: readonly AnyKind[]; objects(peer: P): readonly WantedObject[] },
  place: Place,
  present: Present,
): OwnedChange[] {
  const plan = { peers: new Map(peers.map((peer) => [peer.key, peer])), problems: [], doubts: [] };
  const wanted = new WantedObjects(kinds, objects);
  wanted.take(plan, () => undefined);
  wanted.index(() => undefined);
  const tables = new Map(kinds.map((kind) => [kind, new Map(present.entries(kind))]));
  const differences = new Map(kinds.map((kind) => [kind, differencesOf(kind, wanted, tables.get(kind), place)]));
  const sides: Sides<P> = {
    place,
    kinds,
    differences: (kind) => differences.get(kind) ?? { missing: new Map(), others: new Map() },
    presentAt: (kind, key) => tables.get(kind)?.get(key),
    peers: wanted.peers,
    newPeers: [],
    objectsOf: (peer) => wanted.objectsOf(peer),
    ownersOf: (kind) => wanted.ownersOf(kind),
    formerOwner: () => undefined,
  };
  return [...changesFor(sides)].flatMap(([owner, changes]) => changes.map((change) => ({ ...change, owner })));
}

function differencesOf<P extends PlannedPeer>(
  kind: AnyKind,
  wanted: WantedObjects<P>,
  table: ReadonlyMap<ObjectKey, unknown> = new Map(),
  place: Place,
): Differences {
  const owners = wanted.ownersOf(kind);
  const isRight = (key: ObjectKey, have: unknown): boolean => {
    const owner = owners.get(key);
    return owner !== undefined && kind.isRight(have, wanted.wantOf(owner, kind, key), place);
  };
  const missing = [...owners].filter(([key]) => !table.has(key));
  return {
    missing: new Map(missing.map(([key, { peer }]) => [key, peer.key])),
    others: new Map([...table].filter(([key, have]) => !isRight(key, have))),
  };
}
