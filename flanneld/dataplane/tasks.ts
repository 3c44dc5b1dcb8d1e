// All changes of one owner in one run, and their state.

import type { Netlink } from '../../lib/netlink/connection.ts';
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

/** The changes by owner, in their order. */
export function tasksOf<P extends PlannedPeer>(
  changes: readonly Change[],
  peers: ReadonlyMap<string, P>,
  ledger: PeerLedger<P>,
): Map<string, Task<P>> {
  const groups = new Map<string, Change[]>();
  for (const change of changes) {
    const group = groups.get(change.owner);
    if (group === undefined) groups.set(change.owner, [change]);
    else group.push(change);
  }
  const tasks = new Map<string, Task<P>>();
  for (const [owner, all] of groups) {
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
  const asking = new Map<AnyKind, Map<unknown, string>>();
  for (const { owner, changes } of due) {
    for (const { kind, want, have } of changes) {
      if (kind.holders === undefined || want === undefined || have !== undefined) continue;
      const wants = asking.get(kind) ?? new Map<unknown, string>();
      asking.set(kind, wants.set(want, owner));
    }
  }
  for (const [kind, wants] of asking) {
    const held = kind.holders?.(netlink, [...wants.keys()], place, (want) => had(wants.get(want) ?? ''));
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

/** The changes of all tasks in order: removals that must make room come before all additions. */
export function inOrder(tasks: readonly Task<unknown>[]): Change[] {
  const room: Change[] = [];
  const rest: Change[] = [];
  for (const { peer, sent } of tasks) {
    for (const change of sent) (peer !== undefined && change.want === undefined ? room : rest).push(change);
  }
  return [...room, ...rest];
}
