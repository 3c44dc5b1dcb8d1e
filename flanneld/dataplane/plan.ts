// What a backend wants from the data plane: the peers, and the objects that each needs.

import type { PeerProblem } from '../health/peer-problem.ts';
import type { AnyKind, ObjectKey, WantedObject } from './objects/kind.ts';

/** Another node as the backend sees it. */
export interface PlannedPeer {
  /** The key of its lease. */
  readonly key: string;
}

/** The peers to program, and what is wrong with other leases. */
export interface Plan<P extends PlannedPeer> {
  readonly peers: ReadonlyMap<string, P>;
  /** Leases that are left out. They never delay the others. */
  readonly problems: readonly PeerProblem[];
  /** Peers that are programmed as their leases say, although the lease is probably a mistake. */
  readonly doubts: readonly PeerProblem[];
  /** The difference from an earlier plan, when it is small. */
  readonly step?: { readonly from: Plan<P>; readonly changes: readonly PeerChange<P>[] };
}

/** A peer before and after a change. `before` is undefined for a new peer, `after` for one that is gone. */
export interface PeerChange<P> {
  readonly key: string;
  readonly before: P | undefined;
  readonly after: P | undefined;
}

/** A change to one object. A wanted object is by itself the change that adds it. */
export interface Change {
  readonly kind: AnyKind;
  /** The wanted object; absent in a removal. */
  readonly want?: unknown;
  /** The present object; absent in an addition. */
  readonly have?: unknown;
  /** For a removal: the peer whose changes must succeed first, because the removal would break its traffic. */
  readonly after?: string;
}

/** The key of the object that a change is about. */
export function keyOf({ kind, want, have }: Change): ObjectKey {
  return want === undefined ? kind.presentKey(have) : kind.wantedKey(want);
}

/** Whether two lists want the same objects. */
export function sameObjects(a: readonly WantedObject[], b: readonly WantedObject[]): boolean {
  if (a.length !== b.length) return false;
  return a.every(({ kind, want }, at) => kind === b[at]?.kind && sameValue(want, b[at]?.want));
}

function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => sameValue((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]));
}
