// The reconciler's input: for each device, pod and peer an owner with one object. The same JavaScript object stands for an owner as long as
// its kernel object does not change; by this the reconciler tells a repair from a change.

import { formatIp } from '../../lib/ip.ts';
import { type WantedObject, wanted } from '../dataplane/objects/kind.ts';
import { type Plan, type PlannedPeer, sameObjects } from '../dataplane/plan.ts';
import type { FastPathKinds, WantedLink, WantedPeer, WantedPod } from './objects.ts';

interface WantedParts {
  readonly links: readonly WantedLink[];
  readonly pods: readonly WantedPod[];
  readonly peers: readonly WantedPeer[];
}

export interface Owner extends PlannedPeer {
  readonly objects: readonly WantedObject[];
}

const NOBODY: Plan<Owner> = { peers: new Map(), problems: [], doubts: [] };

export class FastPathPlanner {
  readonly #kinds: FastPathKinds;
  #last: Plan<Owner> = NOBODY;

  constructor(kinds: FastPathKinds) {
    this.#kinds = kinds;
  }

  /** The plan for `parts`, or an empty one. Returns the same plan as long as nothing has changed. */
  plan(parts: WantedParts | undefined): Plan<Owner> {
    const owners = new Map<string, Owner>();
    for (const owner of parts === undefined ? [] : this.#owners(parts)) {
      const before = this.#last.peers.get(owner.key);
      owners.set(owner.key, before !== undefined && sameObjects(before.objects, owner.objects) ? before : owner);
    }
    const { peers } = this.#last;
    const isSame = owners.size === peers.size && [...owners].every(([key, owner]) => peers.get(key) === owner);
    if (!isSame) this.#last = { peers: owners, problems: [], doubts: [] };
    return this.#last;
  }

  #owners({ links, pods, peers }: WantedParts): Owner[] {
    const { link, pod, peer } = this.#kinds;
    return [
      ...peers.map((one) => ({ key: `peer ${formatIp(one.ip)}`, objects: [wanted(peer, one)] })),
      ...pods.map((one) => ({ key: `pod ${formatIp(one.ip)}`, objects: [wanted(pod, one)] })),
      ...links.map((one) => ({ key: `device ${one.dev}`, objects: [wanted(link, one)] })),
    ];
  }
}
