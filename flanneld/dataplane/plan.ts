// What a backend wants of the data plane: the peers there are, and for each the objects it needs.

import type { PeerProblem } from '../health/peer-problem.ts';
import type { ObjectKey, WantedObject } from './objects/kind.ts';

/** Another node, as its backend sees it. */
export interface PlannedPeer {
  /** The key of its lease. */
  readonly key: string;
}

/** The peers that can be programmed together, and what is wrong with other leases. */
export interface Plan<P extends PlannedPeer> {
  readonly peers: ReadonlyMap<string, P>;
  /** Leases that are left out; they never delay the others. */
  readonly problems: readonly PeerProblem[];
  /** Peers that are programmed as their leases say, which may not be what somebody meant. */
  readonly doubts: readonly PeerProblem[];
  /** Where not much is different from the plan before: what is. */
  readonly step?: { readonly from: Plan<P>; readonly changes: readonly PeerChange<P>[] };
}

/** A peer as it was and as it is to be; undefined: it was not, or is not any more. */
export interface PeerChange<P> {
  readonly key: string;
  readonly before: P | undefined;
  readonly after: P | undefined;
}

/** A change to one object, made for its owner. */
export interface Change {
  readonly kind: WantedObject['kind'];
  readonly key: ObjectKey;
  /** The key of the peer this is for; of what nobody wants any more, the peer it was for or the name of the leftover. */
  readonly owner: string;
  /** The object to make so; absent in a removal. */
  readonly want?: unknown;
  /** The object as it is there now; absent in an addition. */
  readonly have?: unknown;
  /** A removal that breaks this peer's traffic as long as its own changes have not succeeded. */
  readonly after?: string;
}

/** Whether two lists of objects ask for the same. */
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
