// Computes the changes that turn the present objects into the wanted ones: a pure function of the differences. The additions come first,
// peer by peer, in the order in which the backend names its objects (the route last, or the kernel would ask for the gateway's MAC).
// The removals follow in the reverse order of the kinds, so that nothing wanted is missing in between.

import type { Differences, Owner } from './mirror.ts';
import type { AnyKind, ObjectKey, Place, WantedObject } from './objects/kind.ts';
import type { Change, PlannedPeer } from './plan.ts';

/** The two sides of the comparison: wanted and present objects. */
export interface Sides<P extends PlannedPeer> {
  readonly place: Place;
  /** In the order in which objects are made. */
  readonly kinds: readonly AnyKind[];
  differences(kind: AnyKind): Differences;
  /** The present object under a key. */
  presentAt(kind: AnyKind, key: ObjectKey): unknown;
  /** The wanted peers by lease key. */
  readonly peers: ReadonlyMap<string, P>;
  /** Those of them that are new on an empty kernel, so that all their objects are missing. The differences do not have these. */
  readonly newPeers: readonly P[];
  objectsOf(peer: P): readonly WantedObject[];
  /** The keys of the wanted objects, each with the peer that needs the object. */
  ownersOf(kind: AnyKind): ReadonlyMap<ObjectKey, Owner<P>>;
  /** The peer that an unwanted object was for, if that peer is gone. */
  formerOwner(kind: AnyKind, key: ObjectKey): string | undefined;
}

/** Changes by owner, in order. The owner of a removal without a peer is the name of the leftover. */
export type ChangesByOwner = ReadonlyMap<string, readonly Change[]>;

/** Owners of removals without a peer begin with this text; no lease key does. */
const LEFTOVER = 'leftover ';

export function isLeftover(owner: string): boolean {
  return owner.startsWith(LEFTOVER);
}

/** All changes, in order; empty when everything is as wanted. */
export function changesFor<P extends PlannedPeer>(sides: Sides<P>): ChangesByOwner {
  const additions = new Map<string, Change[]>();
  for (const owner of needyPeers(sides)) {
    const peer = sides.peers.get(owner);
    const changes = peer === undefined ? [] : changesOf(peer, sides);
    if (changes.length > 0) additions.set(owner, changes);
  }
  for (const peer of sides.newPeers) additions.set(peer.key, additionsOf(peer, sides));
  const ordered = moversFirst(additions, sides);
  return withRemovals(ordered, removals(ordered, sides));
}

/** The lease keys of the peers that have not all objects as wanted. */
function needyPeers<P extends PlannedPeer>({ kinds, differences, ownersOf }: Sides<P>): ReadonlySet<string> {
  const needy = new Set<string>();
  for (const kind of kinds) {
    const { missing, others } = differences(kind);
    for (const owner of missing.values()) needy.add(owner);
    for (const key of others.keys()) {
      const owner = ownersOf(kind).get(key);
      if (owner !== undefined) needy.add(owner.peer.key);
    }
  }
  return needy;
}

function additionsOf<P extends PlannedPeer>(peer: P, { objectsOf }: Sides<P>): Change[] {
  return objectsOf(peer).map(({ kind, want }) => ({ kind, key: kind.wantedKey(want), owner: peer.key, want }));
}

/** What must be done for the objects of one peer. */
function changesOf<P extends PlannedPeer>(peer: P, { place, objectsOf, differences }: Sides<P>): Change[] {
  const changes: Change[] = [];
  for (const { kind, want } of objectsOf(peer)) {
    const key = kind.wantedKey(want);
    const { missing, others } = differences(kind);
    const have = others.get(key);
    if (have === undefined) {
      if (missing.has(key)) changes.push({ kind, key, owner: peer.key, want });
    } else if (kind.mustGoFirst?.(have, want, place) === true) {
      changes.push({ kind, key, owner: peer.key, have }, { kind, key, owner: peer.key, want });
    } else changes.push({ kind, key, owner: peer.key, want, have });
  }
  return changes;
}

/**
 * When an object is replaced, objects that depend on it are removed by the kernel. So a peer whose objects move away from it
 * must be changed first. It happens to nexthops when subnets of several sizes compete for one id.
 */
function moversFirst(
  groups: ReadonlyMap<string, Change[]>,
  { presentAt }: Pick<Sides<PlannedPeer>, 'presentAt'>,
): ReadonlyMap<string, Change[]> {
  const all = [...groups.values()];
  if (!all.some((group) => group.some(({ have }) => have !== undefined))) return groups;
  const movers = new Map<string, string[]>();
  for (const { kind, key, owner } of all.flat()) {
    const have = kind.standsOn === undefined ? undefined : presentAt(kind, key);
    const under = have === undefined ? undefined : kind.standsOn?.key(have);
    if (kind.standsOn === undefined || under === undefined) continue;
    const name = `${kind.standsOn.kind} ${under}`;
    movers.set(name, [...(movers.get(name) ?? []), owner]);
  }
  const ordered = new Map<string, Change[]>();
  const visiting = new Set<string>();
  const visit = (owner: string): void => {
    const group = groups.get(owner);
    // If two groups wait for each other, either order is as good.
    if (group === undefined || visiting.has(owner)) return;
    visiting.add(owner);
    for (const { kind, key, have } of group) {
      if (have === undefined) continue;
      for (const other of movers.get(`${kind.name} ${key}`) ?? []) visit(other);
    }
    ordered.set(owner, group);
  };
  for (const owner of groups.keys()) visit(owner);
  return ordered;
}

function withRemovals(additions: ReadonlyMap<string, Change[]>, removed: readonly Change[]): ChangesByOwner {
  if (removed.length === 0) return additions;
  const all = new Map(additions);
  for (const change of removed) {
    const group = all.get(change.owner);
    if (group === undefined) all.set(change.owner, [change]);
    else group.push(change);
  }
  return all;
}

/** Removals of our objects that are not wanted, with the kinds in reverse order. */
function removals<P extends PlannedPeer>(additions: ChangesByOwner, sides: Sides<P>): Change[] {
  const { place, kinds, differences, ownersOf, formerOwner } = sides;
  const found: Change[] = [];
  for (const kind of [...kinds].reverse()) {
    for (const [key, have] of differences(kind).others) {
      if (ownersOf(kind).has(key) || !kind.isOurs(have, place)) continue;
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
  additions: ChangesByOwner,
  { presentAt }: Pick<Sides<PlannedPeer>, 'presentAt'>,
): ReadonlyMap<Change, string> {
  const users = new Map<string, string>();
  for (const { kind, key, owner } of [...additions.values()].flat()) {
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
