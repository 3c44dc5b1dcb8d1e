// Asking the kernel, and whoever else keeps a kind of object, for changes: in their order, many in one message, with a
// pause for other work in between.

import { breathe } from '../../lib/clock-node.ts';
import { errorText, OpError } from '../../lib/errors.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { ENODEV, ENOENT, ESRCH } from '../../lib/sys/errno.ts';
import type { Action, Place, Refusal } from './objects/kind.ts';
import type { Change } from './plan.ts';

/** Changes sent before other work gets its turn: a few milliseconds, most of them the kernel's. */
const CHUNK = 800;

export type OnRefused = (change: Change, refusal: Refusal) => void;

/** The action that makes a change. */
export function actionOf({ kind, want, have }: Change, place: Place): Action {
  return want === undefined ? kind.remove(have, place) : kind.put(want, have, place);
}

/** The command that does the same, or else what is done in words. */
export function commandOf(change: Change, place: Place): string {
  const action = actionOf(change, place);
  return action.command?.() ?? action.describe();
}

/** Makes the changes. Rejects with OpError (ENODEV) when the device is gone under it. */
export async function sendChanges(
  netlink: Netlink,
  changes: readonly Change[],
  place: Place,
  onRefused: OnRefused,
): Promise<void> {
  for (let from = 0, to = 0; from < changes.length; from = to) {
    // The kernel takes changes of all its kinds in one message; others are asked kind by kind.
    const kind = changes[from]?.kind;
    const isTogether = (other: Change): boolean =>
      kind?.execute === undefined ? other.kind.execute === undefined : other.kind === kind;
    while (to < changes.length && to - from < CHUNK && isTogether(changes[to] as Change)) to++;
    const chunk = changes.slice(from, to);
    const actions = chunk.map((change) => actionOf(change, place));
    const refusals = (await kind?.execute?.(actions)) ?? refusedByKernel(netlink, actions as NetlinkRequest[]);
    for (const refusal of refusals) {
      const change = chunk[actions.indexOf(refusal.action)];
      if (change === undefined || isDone(change, refusal)) continue;
      if (refusal.errno === ENODEV) throw deviceGone(change, place, refusal);
      onRefused(change, refusal);
    }
    await breathe();
  }
}

function refusedByKernel(netlink: Netlink, requests: readonly NetlinkRequest[]): Refusal[] {
  return netlink.execute(requests).map((error) => ({
    action: error.request,
    errno: error.errno,
    text: errorText(error),
  }));
}

/** What was to go is gone: somebody else removed it, or it went with its device or its nexthop. */
function isDone({ want }: Change, { errno }: Refusal): boolean {
  return want === undefined && (errno === ENOENT || errno === ESRCH || errno === ENODEV);
}

function deviceGone({ kind, want, have }: Change, place: Place, { text }: Refusal): OpError {
  const name = kind.deviceOf?.(want, have, place) ?? (place.tunnel ?? place.underlay).name;
  const detail = 'removed while its peers were programmed';
  return new OpError({
    subsystem: 'rtnetlink',
    op: 'program',
    object: `peers of ${name}`,
    code: 'ENODEV',
    detail,
    cause: new Error(text),
  });
}
