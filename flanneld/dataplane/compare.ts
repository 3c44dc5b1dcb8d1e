// Works out the changes that turn the present objects into the wanted ones: a pure function of the keys that may differ. The
// additions come first, peer by peer, in the order in which the backend names its objects (the route last, or the kernel would
// ask who has the gateway). The removals follow in the reverse order, so that nothing wanted is missing in between.

import type { AnyKind, ObjectKey, Place, WantedObject } from './objects/kind.ts';
import type { Change } from './plan.ts';

/** The keys that may differ, by kind; the kinds are in the order in which objects are made. */
export type DirtyKeys = ReadonlyMap<AnyKind, ReadonlySet<ObjectKey>>;

/** The two sides of the comparison: wanted and present objects. */
export interface Sides {
  readonly place: Place;
  /** The object that is wanted under a key, and the peer that needs it. */
  wantedAt(kind: AnyKind, key: ObjectKey): { readonly owner: string; readonly want: unknown } | undefined;
  isWanted(kind: AnyKind, key: ObjectKey): boolean;
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
export function changesFor(dirty: DirtyKeys, sides: Sides): Change[] {
  const first: Change[] = [];
  const additions = new Map<string, Change[]>();
  for (const [kind, keys] of dirty) {
    for (const key of keys) {
      const wanted = sides.wantedAt(kind, key);
      if (wanted === undefined) continue;
      for (const change of changesAt(kind, key, wanted, sides)) {
        if (change.want === undefined) first.push(change);
        else pushTo(additions, change);
      }
    }
  }
  const ordered = moversFirst(additions, sides);
  return [...first, ...ordered, ...removals(dirty, ordered, sides)];
}

function changesAt(
  kind: AnyKind,
  key: ObjectKey,
  { owner, want }: { owner: string; want: unknown },
  { presentAt, place }: Sides,
): Change[] {
  const have = presentAt(kind, key);
  if (have === undefined) return [{ kind, key, owner, want }];
  if (kind.isRight(have, want, place)) return [];
  if (kind.mustGoFirst?.(have, want, place) !== true) return [{ kind, key, owner, want, have }];
  return [
    { kind, key, owner, have },
    { kind, key, owner, want },
  ];
}

function pushTo(groups: Map<string, Change[]>, change: Change): void {
  const group = groups.get(change.owner);
  if (group === undefined) groups.set(change.owner, [change]);
  else group.push(change);
}

/**
 * When an object is replaced, objects that depend on it are removed by the kernel. So a peer whose objects move away from it
 * must be changed first. It happens to nexthops when subnets of several sizes compete for one id.
 */
function moversFirst(groups: ReadonlyMap<string, Change[]>, { presentAt }: Sides): Change[] {
  const all = [...groups.values()].flat();
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

/** Removals of our objects that nobody wants, the kinds in reverse order. */
function removals(dirty: DirtyKeys, additions: readonly Change[], sides: Sides): Change[] {
  const { place, isWanted, presentAt, formerOwner } = sides;
  const found: Change[] = [];
  for (const [kind, keys] of [...dirty].reverse()) {
    for (const key of keys) {
      if (isWanted(kind, key)) continue;
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
  { presentAt }: Sides,
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

/** The objects of one peer among those it needs. */
export function findWanted(objects: readonly WantedObject[], kind: AnyKind, key: ObjectKey): unknown {
  return objects.find((object) => object.kind === kind && kind.wantedKey(object.want) === key)?.want;
}
