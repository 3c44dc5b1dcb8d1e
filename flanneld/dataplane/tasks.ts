// All changes of one owner in one run, and their state.

import type { Netlink } from '../../lib/netlink/connection.ts';
import type { ChangesByOwner } from './compare.ts';
import type { AnyKind, Place } from './objects/kind.ts';
import type { PeerLedger } from './peer-ledger.ts';
import type { Change, PlannedPeer } from './plan.ts';

export interface Task<P> {
  readonly owner: string;
  /** Undefined for objects that are not wanted. */
  readonly peer: P | undefined;
  changes: readonly Change[];
  /** Whether somebody else caused the changes: the objects were right before, or they are leftovers. */
  readonly repair: boolean;
  /** The changes that are sent: all of them, except removals that must wait for a peer. */
  sent: readonly Change[];
  failure?: string;
  /** Set when a change is still under way: when to check again, in milliseconds. */
  pendingMs?: number;
}

/** One task for each owner, in the order of the changes. */
export function tasksOf<P extends PlannedPeer>(
  changes: ChangesByOwner,
  peers: ReadonlyMap<string, P>,
  ledger: PeerLedger<P>,
): Map<string, Task<P>> {
  const tasks = new Map<string, Task<P>>();
  for (const [owner, all] of changes) {
    const peer = peers.get(owner);
    const repair = peer === undefined || ledger.isSettled(owner);
    tasks.set(owner, { owner, peer, changes: all, repair, sent: all });
  }
  return tasks;
}

/** If another program's object is in a place that looked free, replaces it if that is allowed; otherwise the task fails. */
export function refuseHeld<P>(
  due: ReadonlySet<Task<P>>,
  place: Place,
  netlink: Netlink,
  had: (owner: string) => boolean,
): void {
  for (const [kind, additions] of additionsToAskAbout(due)) {
    const held = kind.holders?.(netlink, [...additions.keys()], place, (want) => had(additions.get(want) ?? ''));
    if (held === undefined || held.size === 0) continue;
    for (const task of due) {
      task.changes = task.changes.map((change) => {
        const isAsked = change.kind === kind && change.want !== undefined;
        const holder = isAsked ? held.get(kind.wantedKey(change.want)) : undefined;
        if (holder === undefined || change.have !== undefined) return change;
        if (holder.mayReplace) return { ...change, have: holder.have };
        task.failure = `another program has a ${kind.name} there: ${holder.spelled}`;
        return change;
      });
      task.sent = task.changes;
    }
  }
}

/** The objects to add that must not replace those of other programs: by kind, each with its owner. */
function additionsToAskAbout(due: ReadonlySet<Task<unknown>>): ReadonlyMap<AnyKind, ReadonlyMap<unknown, string>> {
  const found = new Map<AnyKind, Map<unknown, string>>();
  for (const { owner, changes } of due) {
    for (const { kind, want, have } of changes) {
      if (kind.mayBeHeld === undefined || want === undefined || have !== undefined || !kind.mayBeHeld(want)) continue;
      const additions = found.get(kind) ?? new Map<unknown, string>();
      found.set(kind, additions.set(want, owner));
    }
  }
  return found;
}

/** The changes of all tasks in order: removals that must make room come before all additions. */
export function inOrder(tasks: readonly Task<unknown>[]): Change[] {
  const room: Change[] = [];
  const rest: Change[] = [];
  for (const { peer, sent } of tasks) {
    for (const change of sent) (peer !== undefined && change.want === undefined ? room : rest).push(change);
  }
  return room.length === 0 ? rest : [...room, ...rest];
}

/** The task of each change that is sent. */
export function byChange<P>(tasks: readonly Task<P>[]): ReadonlyMap<Change, Task<P>> {
  return new Map(tasks.flatMap((task) => task.sent.map((change) => [change, task] as const)));
}
