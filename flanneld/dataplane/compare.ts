// Computes the changes that turn the present objects into the wanted ones: a pure function of the keys that may differ. The additions come
// first, peer by peer, in the order in which the backend names its objects (the route last, or the kernel would ask for the gateway's MAC).
// The removals follow in the reverse order, so that nothing wanted is missing in between.

import type { AnyKind, ObjectKey, Place, WantedObject } from './objects/kind.ts';
import type { Change, PlannedPeer } from './plan.ts';

/** The keys that may differ, by kind; the kinds are in the order in which objects are made. */
export type DirtyKeys = ReadonlyMap<AnyKind, ReadonlySet<ObjectKey>>;

/** The two sides of the comparison: wanted and present objects. */
export interface Sides<P extends PlannedPeer> {
  readonly place: Place;
  /** The peer that needs the object under a key. */
  peerAt(kind: AnyKind, key: ObjectKey): P | undefined;
  objectsOf(peer: P): readonly WantedObject[];
  presentAt(kind: AnyKind, key: ObjectKey): unknown;
  /** The peer that an unwanted object was for, if that peer is gone. */
  formerOwner(kind: AnyKind, key: ObjectKey): string | undefined;
}

/** Owners of removals without a peer begin with this text; no lease key does. */
const LEFTOVER = 'leftover ';

export function isLeftover(owner: string): boolean {
  return owner.startsWith(LEFTOVER);
}

/** All changes for the given keys, in order; empty when everything is as wanted. */
export function changesFor<P extends PlannedPeer>(dirty: DirtyKeys, sides: Sides<P>): Change[] {
  const first: Change[] = [];
  const additions = new Map<string, Change[]>();
  const { peers, unwanted } = sortKeys(dirty, sides);
  for (const peer of peers) {
    const group: Change[] = [];
    for (const { kind, want } of sides.objectsOf(peer)) {
      const key = kind.wantedKey(want);
      if (dirty.get(kind)?.has(key) === true) addChange({ kind, key, owner: peer.key, want }, sides, first, group);
    }
    if (group.length > 0) additions.set(peer.key, group);
  }
  const ordered = moversFirst(additions, sides);
  return [...first, ...ordered, ...removals(unwanted, ordered, sides)];
}

/** The peers that need an object under one of the keys, and the keys that no peer needs, by kind. */
function sortKeys<P extends PlannedPeer>(
  dirty: DirtyKeys,
  { peerAt }: Sides<P>,
): { peers: ReadonlySet<P>; unwanted: ReadonlyMap<AnyKind, readonly ObjectKey[]> } {
  const peers = new Set<P>();
  const unwanted = new Map<AnyKind, ObjectKey[]>();
  for (const [kind, keys] of dirty) {
    const others: ObjectKey[] = [];
    for (const key of keys) {
      const peer = peerAt(kind, key);
      if (peer === undefined) others.push(key);
      else peers.add(peer);
    }
    unwanted.set(kind, others);
  }
  return { peers, unwanted };
}

/** Adds what must be done for one wanted object: nothing if the present one is as wanted. */
function addChange(addition: Change, { presentAt, place }: Sides<PlannedPeer>, first: Change[], group: Change[]): void {
  const { kind, key, owner, want } = addition;
  const have = presentAt(kind, key);
  if (have === undefined) group.push(addition);
  else if (kind.isRight(have, want, place)) return;
  else if (kind.mustGoFirst?.(have, want, place) !== true) group.push({ ...addition, have });
  else {
    first.push({ kind, key, owner, have });
    group.push(addition);
  }
}

/**
 * When an object is replaced, objects that depend on it are removed by the kernel. So a peer whose objects move away from it
 * must be changed first. It happens to nexthops when subnets of several sizes compete for one id.
 */
function moversFirst(groups: ReadonlyMap<string, Change[]>, { presentAt }: Sides<PlannedPeer>): Change[] {
  const all: Change[] = [];
  for (const group of groups.values()) for (const change of group) all.push(change);
  if (!all.some(({ have }) => have !== undefined)) return all;
  const movers = new Map<string, string[]>();
  for (const { kind, key, owner } of all) {
    const have = kind.standsOn === undefined ? undefined : presentAt(kind, key);
    const under = have === undefined ? undefined : kind.standsOn?.key(have);
    if (kind.standsOn === undefined || under === undefined) continue;
    const name = `${kind.standsOn.kind} ${under}`;
    movers.set(name, [...(movers.get(name) ?? []), owner]);
  }
  const ordered = new Set<Change[]>();
  const visiting = new Set<Change[]>();
  const visit = (group: Change[]): void => {
    // If two groups wait for each other, either order is as good.
    if (ordered.has(group) || visiting.has(group)) return;
    visiting.add(group);
    for (const { kind, key, have } of group) {
      if (have === undefined) continue;
      for (const owner of movers.get(`${kind.name} ${key}`) ?? []) visit(groups.get(owner) ?? []);
    }
    ordered.add(group);
  };
  for (const group of groups.values()) visit(group);
  return [...ordered].flat();
}

/** Removals of our objects that are not wanted, with the kinds in reverse order. */
function removals(
  unwanted: ReadonlyMap<AnyKind, readonly ObjectKey[]>,
  additions: readonly Change[],
  sides: Sides<PlannedPeer>,
): Change[] {
  const { place, presentAt, formerOwner } = sides;
  const found: Change[] = [];
  for (const [kind, keys] of [...unwanted].reverse()) {
    for (const key of keys) {
      const have = presentAt(kind, key);
      if (have === undefined || !kind.isOurs(have, place)) continue;
      found.push({ kind, key, owner: formerOwner(kind, key) ?? `${LEFTOVER}${kind.spell(have)}`, have });
    }
  }
  if (found.length === 0) return found;
  const users = usersOf(found, additions, sides);
  if (users.size === 0) return found;
  return found.map((change) => {
    const after = users.get(change);
    return after === undefined ? change : { ...change, after };
  });
}

/** For each removal the peer whose object still depends on the removed one and will use another: it must be changed first. */
function usersOf(
  found: readonly Change[],
  additions: readonly Change[],
  { presentAt }: Sides<PlannedPeer>,
): ReadonlyMap<Change, string> {
  const users = new Map<string, string>();
  for (const { kind, key, owner } of additions) {
    const have = kind.standsOn === undefined ? undefined : presentAt(kind, key);
    const under = have === undefined ? undefined : kind.standsOn?.key(have);
    if (under !== undefined) users.set(`${kind.standsOn?.kind} ${under}`, owner);
  }
  const after = new Map<Change, string>();
  for (const change of found) {
    const owner = users.get(`${change.kind.name} ${change.key}`);
    if (owner !== undefined) after.set(change, owner);
  }
  return after;
}
