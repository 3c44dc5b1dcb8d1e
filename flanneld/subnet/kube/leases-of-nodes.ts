// The leases of all Nodes. When a Node changes, only that Node is read again, because among thousands of Nodes one changes every
// second.

import { errorText } from '../../../lib/errors.ts';
import { VersionedMap } from '../../../lib/versioned-map.ts';
import type { PeerProblem } from '../../health/peer-problem.ts';
import type { Lease, LeaseSnapshot } from '../manager.ts';
import { isManaged } from './annotations.ts';
import type { NodeRecord } from './node.ts';
import { type Families, leaseOfNode } from './node-lease.ts';

type Nodes = ReadonlyMap<string, NodeRecord>;

export class LeasesOfNodes {
  #leases = VersionedMap.of<Lease>([]);
  readonly #unreadable = new Map<string, PeerProblem>();
  #problems: readonly PeerProblem[] = [];

  /** `changed`: the names of Nodes that changed since the last call; undefined when any may have changed. */
  update(
    nodes: Nodes,
    changed: ReadonlySet<string> | undefined,
    families: Families,
  ): Pick<LeaseSnapshot, 'leases' | 'problems'> {
    const hadProblems = this.#unreadable.size > 0;
    if (changed === undefined) {
      this.#unreadable.clear();
      const leases = this.#read(nodes.keys(), nodes, families);
      this.#leases = VersionedMap.of(
        [...leases].flatMap(([name, lease]) => (lease === undefined ? [] : [[name, lease]])),
      );
    } else if (changed.size > 0) this.#leases = this.#leases.with(this.#read(changed, nodes, families));
    if (hadProblems || this.#unreadable.size > 0) this.#problems = [...this.#unreadable.values()];
    return { leases: this.#leases, problems: this.#problems };
  }

  #read(names: Iterable<string>, nodes: Nodes, families: Families): Map<string, Lease | undefined> {
    const leases = new Map<string, Lease | undefined>();
    for (const name of names) leases.set(name, this.#leaseOf(name, nodes.get(name), families));
    return leases;
  }

  /** Undefined for a Node that is gone or no peer. A peer whose podCIDR has not been read yet has neither lease nor problem. */
  #leaseOf(name: string, node: NodeRecord | undefined, families: Families): Lease | undefined {
    this.#unreadable.delete(name);
    if (node?.podCidrs === undefined || !isManaged(node.annotations)) return undefined;
    try {
      return leaseOfNode(node, families);
    } catch (error) {
      this.#unreadable.set(name, { key: name, reason: errorText(error) });
      return undefined;
    }
  }
}
