// Sends changes to the kernel, or to the `execute` function of their kind. They keep their order, many go in one message, and
// other work gets its turn in between.

import { breathe } from '../../lib/clock-node.ts';
import { errorText, OpError } from '../../lib/errors.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { ENODEV, ENOENT, ESRCH } from '../../lib/sys/errno.ts';
import type { Action, Place, Refusal } from './objects/kind.ts';
import type { Change } from './plan.ts';

/** How many changes are sent before other work gets its turn: a few milliseconds, mostly spent in the kernel. */
const CHUNK = 800;

export type OnRefused = (change: Change, refusal: Refusal) => void;

/** The action that makes a change. */
export function actionOf({ kind, want, have }: Change, place: Place): Action {
  return want === undefined ? kind.remove(have, place) : kind.put(want, have, place);
}

/** The command that does the same, or a description when there is none. */
export function commandOf(change: Change, place: Place): string {
  const action = actionOf(change, place);
  return action.command?.() ?? action.describe();
}

/** Makes the changes. Rejects with OpError (ENODEV) when the device has disappeared. */
export async function sendChanges(
  netlink: Netlink,
  changes: readonly Change[],
  place: Place,
  onRefused: OnRefused,
): Promise<void> {
  for (let from = 0; from < changes.length; ) {
    const chunk = nextChunk(changes, from);
    from += chunk.length;
    const actions = chunk.map((change) => actionOf(change, place));
    const refusals = (await chunk[0]?.kind.execute?.(actions)) ?? refusedByKernel(netlink, actions as NetlinkRequest[]);
    for (const refusal of refusals) {
      const change = chunk[actions.indexOf(refusal.action)];
      if (change === undefined || isDone(change, refusal)) continue;
      if (refusal.errno === ENODEV) throw deviceGone(change, place, refusal);
      onRefused(change, refusal);
    }
    await breathe();
  }
}

/** One message to the kernel may have changes of all kinds that are made by rtnetlink. Kinds with `execute` are called one by one. */
function nextChunk(changes: readonly Change[], from: number): readonly Change[] {
  const kind = changes[from]?.kind;
  const most = Math.min(from + CHUNK, changes.length);
  let to = from + 1;
  for (; to < most; to++) {
    const next = changes[to]?.kind;
    if (next !== kind && (next?.execute !== undefined || kind?.execute !== undefined)) break;
  }
  return changes.slice(from, to);
}

/** Sends the requests and returns those that the kernel refused. */
export function refusedByKernel(netlink: Pick<Netlink, 'execute'>, requests: readonly NetlinkRequest[]): Refusal[] {
  return netlink.execute(requests).map((error) => ({
    action: error.request,
    errno: error.errno,
    text: errorText(error),
  }));
}

/** Whether a removal failed because the object is already gone: by somebody else, or with its device or nexthop. */
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
