// The changes that turn what is there into what is wanted: a pure function of the keys that may differ. First what peers
// need, peer by peer in the order in which a backend names its objects (the route last, or the kernel would ask who has
// the gateway), then what nobody wants, in the reverse order, so that nothing wanted is missing in between.

import type { AnyKind, ObjectKey, Place, WantedObject } from './objects/kind.ts';
import type { Change } from './plan.ts';

/** Keys that may differ, by kind in the order in which objects are made. */
export type DirtyKeys = ReadonlyMap<AnyKind, ReadonlySet<ObjectKey>>;

/** What is compared with what. */
export interface Sides {
  readonly place: Place;
  /** What is wanted in the place of a key, and for which peer. */
  wantedAt(kind: AnyKind, key: ObjectKey): { readonly owner: string; readonly want: unknown } | undefined;
  isWanted(kind: AnyKind, key: ObjectKey): boolean;
  presentAt(kind: AnyKind, key: ObjectKey): unknown;
  /** Which peer an object was for that nobody wants now, if that peer is gone. */
  formerOwner(kind: AnyKind, key: ObjectKey): string | undefined;
}

/** Names of what is removed begin like this; no lease key does. */
const LEFTOVER = 'leftover ';

export function isLeftover(owner: string): boolean {
  return owner.startsWith(LEFTOVER);
}

/** Everything to be done for the keys given, in order. Empty when what is there is what is wanted. */
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
 * An object that is to be another one takes along what still stands on it: whoever moves away from it comes first. It
 * happens to nexthops where subnets of several sizes compete for one id.
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
    // Two that wait for each other: then either is as good.
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

/** What is ours and wanted by nobody, the kinds in reverse order. */
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

/** For each removal the peer whose object stands on it and is to stand on another: it must have moved first. */
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
