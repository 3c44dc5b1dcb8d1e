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
    const repair = peer === undefined || ledger.programmedAs(owner) === peer;
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
    const wants = additions.map(({ want }) => want);
    const hadIt = (want: unknown): boolean => had(additions[wants.indexOf(want)]?.owner ?? '');
    const held = kind.holders?.(netlink, wants, place, hadIt);
    if (held === undefined || held.size === 0) continue;
    for (const task of due) {
      task.changes = task.changes.map((change) => {
        const holder = change.kind === kind && change.want !== undefined ? held.get(change.key) : undefined;
        if (holder === undefined || change.have !== undefined) return change;
        if (holder.mayReplace) return { ...change, have: holder.have };
        task.failure = `another program has a ${kind.name} there: ${holder.spelled}`;
        return change;
      });
      task.sent = task.changes;
    }
  }
}

/** The additions of kinds that must not replace objects of other programs. */
function additionsToAskAbout(due: ReadonlySet<Task<unknown>>): ReadonlyMap<AnyKind, readonly Change[]> {
  const found = new Map<AnyKind, Change[]>();
  for (const { changes } of due) {
    for (const change of changes) {
      const { kind, want, have } = change;
      if (kind.holders === undefined || want === undefined || have !== undefined) continue;
      const additions = found.get(kind);
      if (additions === undefined) found.set(kind, [change]);
      else additions.push(change);
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
  return [...room, ...rest];
}
