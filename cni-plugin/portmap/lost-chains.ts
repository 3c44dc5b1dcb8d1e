// Finds marking chains of subnets that the node no longer has. When the chain of another subnet is made, those to which no mapping
// leads are removed.

import type { Netfilter } from '../../lib/netfilter/netfilter-socket.ts';
import { deleteChain, type Rule } from '../../lib/netfilter/nftables.ts';
import { NetlinkError } from '../../lib/netlink/request.ts';
import { EBUSY, ENOENT } from '../../lib/sys/errno.ts';
import { markChain, type Need, TABLE } from './layout.ts';

/** The marking chain of a subnet: `from_10.244.1.0/24_13`. */
const OF_A_SUBNET = /^from_[0-9a-f._]+\/\d+_\d+$/;

/** Names of marking chains that are not among these needs. Pure. */
export function otherMarkChains(needs: readonly Need[], present: readonly Rule[]): string[] {
  const own = needs.map(({ config, container }) => markChain(config, container));
  const named = new Set(present.map(({ chain }) => chain).filter((chain) => OF_A_SUBNET.test(chain)));
  return [...named].filter((chain) => !own.includes(chain));
}

/**
 * Removes those that no mapping leads to; returns whether there were any. An ADD of that subnet at the same moment makes its chain again.
 * Throws NetlinkError.
 */
export function removeLostChains({ transact }: Netfilter, chains: readonly string[]): boolean {
  let removed = false;
  for (const chain of chains) {
    try {
      transact([deleteChain(TABLE, chain)]);
      removed = true;
    } catch (thrown) {
      if (!(thrown instanceof NetlinkError) || (thrown.errno !== EBUSY && thrown.errno !== ENOENT)) throw thrown;
    }
  }
  return removed;
}
