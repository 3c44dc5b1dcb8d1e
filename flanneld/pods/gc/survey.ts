// Everybody who holds something on this node, and whether they are provably dead: lib/pods/verdict.ts, the same decision
// the CNI executable makes when a range is exhausted.

import { errorText, OpError } from '../../../lib/errors.ts';
import type { AddressStore } from '../../../lib/pods/address-store.ts';
import { earlierBootTest } from '../../../lib/pods/boot.ts';
import { RESULTS_FOLDER, readCachedResult } from '../../../lib/pods/cached-result.ts';
import { lookForLife, type SignOfLife } from '../../../lib/pods/signs-of-life.ts';
import { judge, NOT_CACHED, type Verdict } from '../../../lib/pods/verdict.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { PodNetwork } from '../pod-network.ts';
import { type Holder, listHolders } from './holders.ts';
import { netnsView } from './netns-view.ts';

/** Where to look. */
export interface GcScope {
  readonly pods: PodNetwork;
  /** State of CNI, /var/lib/cni: the runtime's cache is below it. */
  readonly cniStateDir: string;
  /** Where the runtime pins namespaces, /run/netns. */
  readonly netnsDir: string;
}

export interface Judged {
  readonly holder: Holder;
  readonly verdict: Verdict;
}

/** Judges everybody. `store` is undefined where nobody ever got an address. Throws SysError. */
export function survey(sys: Syscalls, scope: GcScope, store: AddressStore | undefined): Judged[] {
  const { network, savedFolder, bridge } = scope.pods;
  const isOld = store === undefined ? () => false : earlierBootTest(store);
  const look = netnsView(sys, scope.netnsDir);
  const results = `${scope.cniStateDir}/${RESULTS_FOLDER}`;
  let signs: SignOfLife | undefined;
  return listHolders(sys, store, savedFolder, network).map((holder) => {
    const { owner, containerId, ifname, ips, saved } = holder;
    const cached = readCachedResult(sys, results, network, containerId, ifname);
    const netns = cached === undefined ? NOT_CACHED : look(cached.netns);
    const files = [...saved, ...ips.map((ip) => store?.pathOf(ip) ?? '')];
    const verdict = judge({ owner, netns, isOfEarlierBoot: files.every(isOld) }, () => {
      signs ??= signsOn(sys, bridge);
      return signs({ containerId, ifname, ips, cached });
    });
    return { holder, verdict };
  });
}

/** When the bridge cannot be looked at, everything may be alive. */
function signsOn(sys: Syscalls, bridge: string): SignOfLife {
  try {
    return lookForLife(sys, bridge);
  } catch (error) {
    if (!(error instanceof OpError)) throw error;
    return () => errorText(error);
  }
}
