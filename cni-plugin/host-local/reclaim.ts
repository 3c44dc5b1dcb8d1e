// Freeing addresses whose holders are provably dead (lib/pods/verdict.ts), when a range is exhausted.

import { OpError } from '../../lib/errors.ts';
import { formatIp } from '../../lib/ip.ts';
import { type Holding, ownerParts } from '../../lib/pods/address-store.ts';
import { earlierBootTest } from '../../lib/pods/boot.ts';
import { type CachedResult, RESULTS_FOLDER, readCachedResult } from '../../lib/pods/cached-result.ts';
import { lookForLife, type SignOfLife } from '../../lib/pods/signs-of-life.ts';
import { type Facts, judge, lookAtNetns, NOT_CACHED } from '../../lib/pods/verdict.ts';
import type { Invocation } from '../protocol/plugin.ts';
import type { Reclaim } from './allocate.ts';
import { rangeOf } from './ranges.ts';

/** Where libcni keeps what it got from each ADD. */
export const RESULT_CACHE = `/var/lib/cni/${RESULTS_FOLDER}`;

/** Frees what the dead hold of a set. `bridge` is looked at for signs of life, `cache` is the runtime's. */
export function reclaimDead(invocation: Invocation, bridge: string, cache: string): Reclaim {
  const { sys, name } = invocation;
  return (store, set) => {
    const isOld = earlierBootTest(store);
    const lookAtBridge = onlyOnce(() => signOfLife(invocation, bridge));
    let freed = false;
    for (const holding of store.holdings()) {
      if (rangeOf(set, holding.ip) === undefined) continue;
      const owner = ownerParts(holding.owner);
      const cached = readCachedResult(sys, cache, name, owner.containerId, owner.ifname);
      const facts = factsOf(invocation, holding, cached, isOld(store.pathOf(holding.ip)));
      const sign = (): string | undefined => lookAtBridge()({ ...owner, ips: [holding.ip], cached });
      const { isDead, why } = judge(facts, sign);
      if (!isDead) continue;
      store.releaseAddresses(owner, [holding.ip]);
      invocation.note(`freed ${formatIp(holding.ip)} of ${owner.containerId} ${owner.ifname}: ${why}`);
      freed = true;
    }
    return freed;
  };
}

function factsOf(
  { sys }: Invocation,
  { owner }: Holding,
  cached: CachedResult | undefined,
  isOfEarlierBoot: boolean,
): Facts {
  // The lock is ours: nobody is about to write into an empty file.
  const netns = cached === undefined ? NOT_CACHED : lookAtNetns(sys, cached.netns);
  return { owner, netns, isOfEarlierBoot };
}

function onlyOnce<T>(look: () => T): () => T {
  let seen: { readonly value: T } | undefined;
  return () => {
    seen ??= { value: look() };
    return seen.value;
  };
}

/** When the bridge cannot be looked at, everything may be alive. */
function signOfLife({ sys }: Invocation, bridge: string): SignOfLife {
  try {
    return lookForLife(sys, bridge);
  } catch (thrown) {
    if (!(thrown instanceof OpError)) throw thrown;
    return () => thrown.message;
  }
}
