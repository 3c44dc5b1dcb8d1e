// Computes the changes that turn the present objects into the wanted ones: a pure function of the differences. The additions come first,
// peer by peer, in the order in which the backend names its objects (the route last, or the kernel would ask for the gateway's MAC).
// The removals follow in the reverse order of the kinds, so that nothing wanted is missing in between.

import type { Differences, Owner } from './mirror.ts';
import type { AnyKind, ObjectKey, Place, WantedObject } from './objects/kind.ts';
import { type Change, keyOf, type PlannedPeer } from './plan.ts';

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

/**
 * Changes by owner, in order. The owner is the lease key of the peer that needs the changes. Unwanted objects belong to the peer they were
 * for, or to the name of the leftover.
 */
export type ChangesByOwner = ReadonlyMap<string, readonly Change[]>;

/** Owners of removals without a peer begin with this text; no lease key does. */
const LEFTOVER = 'leftover ';

export function isLeftover(owner: string): boolean {
  return owner.startsWith(LEFTOVER);
}

/** All changes, in order; empty when everything is as wanted. */
export function changesFor<P extends PlannedPeer>(sides: Sides<P>): ChangesByOwner {
  const additions = new Map<string, readonly Change[]>();
  for (const owner of needyPeers(sides)) {
    const peer = sides.peers.get(owner);
    const changes = peer === undefined ? [] : changesOf(peer, sides);
    if (changes.length > 0) additions.set(owner, changes);
  }
  for (const peer of sides.newPeers) additions.set(peer.key, sides.objectsOf(peer));
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

/** What must be done for the objects of one peer. */
function changesOf<P extends PlannedPeer>(peer: P, { place, objectsOf, differences }: Sides<P>): Change[] {
  const changes: Change[] = [];
  for (const { kind, want } of objectsOf(peer)) {
    const key = kind.wantedKey(want);
    const { missing, others } = differences(kind);
    const have = others.get(key);
    if (have === undefined) {
      if (missing.has(key)) changes.push({ kind, want });
    } else if (kind.mustGoFirst?.(have, want, place) === true) changes.push({ kind, have }, { kind, want });
    else changes.push({ kind, want, have });
  }
  return changes;
}

/**
 * When an object is replaced, objects that depend on it are removed by the kernel. So a peer whose objects move away from it
 * must be changed first. It happens to nexthops when subnets of several sizes compete for one id.
 */
function moversFirst(groups: ChangesByOwner, { presentAt }: Pick<Sides<PlannedPeer>, 'presentAt'>): ChangesByOwner {
  const hasOther = (group: readonly Change[]): boolean => group.some(({ have }) => have !== undefined);
  if (![...groups.values()].some(hasOther)) return groups;
  const movers = new Map<string, string[]>();
  for (const [owner, group] of groups) {
    for (const change of group) {
      const under = standsOn(change, presentAt);
      if (under !== undefined) movers.set(under, [...(movers.get(under) ?? []), owner]);
    }
  }
  const ordered = new Map<string, readonly Change[]>();
  const visiting = new Set<string>();
  const visit = (owner: string): void => {
    const group = groups.get(owner);
    // If two groups wait for each other, either order is as good.
    if (group === undefined || visiting.has(owner)) return;
    visiting.add(owner);
    for (const change of group) {
      if (change.have === undefined) continue;
      for (const other of movers.get(nameOf(change)) ?? []) visit(other);
    }
    ordered.set(owner, group);
  };
  for (const owner of groups.keys()) visit(owner);
  return ordered;
}

/** Names the object that a change is about among those of all kinds. */
function nameOf(change: Change): string {
  return `${change.kind.name} ${keyOf(change)}`;
}

/** Names the object on which the present object of a change depends. */
function standsOn(change: Change, presentAt: Sides<PlannedPeer>['presentAt']): string | undefined {
  const { standsOn: on } = change.kind;
  const have = on === undefined ? undefined : presentAt(change.kind, keyOf(change));
  const under = have === undefined ? undefined : on?.key(have);
  return under === undefined ? undefined : `${on?.kind} ${under}`;
}

function withRemovals(additions: ChangesByOwner, removed: readonly Removal[]): ChangesByOwner {
  if (removed.length === 0) return additions;
  const all = new Map(additions);
  for (const { owner, change } of removed) all.set(owner, [...(all.get(owner) ?? []), change]);
  return all;
}

interface Removal {
  readonly owner: string;
  readonly change: Change;
}

/** Removals of our objects that are not wanted, with the kinds in reverse order. */
function removals<P extends PlannedPeer>(additions: ChangesByOwner, sides: Sides<P>): Removal[] {
  const { place, kinds, differences, ownersOf, formerOwner } = sides;
  const found: Removal[] = [];
  for (const kind of [...kinds].reverse()) {
    for (const [key, have] of differences(kind).others) {
      if (ownersOf(kind).has(key) || !kind.isOurs(have, place)) continue;
      const owner = formerOwner(kind, key) ?? `${LEFTOVER}${kind.spell(have)}`;
      found.push({ owner, change: { kind, have } });
    }
  }
  if (found.length === 0) return found;
  const users = usersOf(additions, sides);
  return found.map(({ owner, change }) => {
    const after = users.get(nameOf(change));
    return { owner, change: after === undefined ? change : { ...change, after } };
  });
}

/** By the name of an object: the peer whose object depends on it and will use another, so that it must be changed first. */
function usersOf(
  additions: ChangesByOwner,
  { presentAt }: Pick<Sides<PlannedPeer>, 'presentAt'>,
): ReadonlyMap<string, string> {
  const users = new Map<string, string>();
  for (const [owner, group] of additions) {
    for (const change of group) {
      const under = standsOn(change, presentAt);
      if (under !== undefined) users.set(under, owner);
    }
  }
  return users;
}
