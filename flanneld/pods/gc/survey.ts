// Decides which holders on this node are provably dead, by lib/pods/verdict.ts. The CNI executable makes the same decision when a range of
// addresses is used up.

import type { AddressStore } from '../../../lib/pods/address-store.ts';
import { RESULTS_FOLDER } from '../../../lib/pods/cached-result.ts';
import { survey } from '../../../lib/pods/survey.ts';
import type { Verdict } from '../../../lib/pods/verdict.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { PodNetwork } from '../pod-network.ts';
import { listHolders, type NodeHolder } from './holders.ts';
import { netnsView } from './netns-view.ts';

/** Where to look. */
export interface GcScope {
  readonly pods: PodNetwork;
  /** The folder of CNI's state, /var/lib/cni; the runtime's cache is below it. */
  readonly cniStateDir: string;
  /** Where the runtime pins namespaces, /run/netns. */
  readonly netnsDir: string;
}

export interface Judged {
  readonly holder: NodeHolder;
  readonly verdict: Verdict;
}

/** Judges all holders. `store` is undefined when no address was ever given out. Throws SysError. */
export function judgeHolders(sys: Syscalls, scope: GcScope, store: AddressStore | undefined): Judged[] {
  const { network, savedFolder, bridge, isBridged } = scope.pods;
  const holders = listHolders(sys, store, savedFolder, network);
  const { look, blind } = netnsView(sys, scope.netnsDir);
  const results = `${scope.cniStateDir}/${RESULTS_FOLDER}`;
  const verdicts = survey(sys, { network, bridge, isBridged, results, lookAtNetns: look, blind }, holders);
  return holders.map((holder, at) => ({ holder, verdict: verdicts[at] ?? { isDead: false, why: '' } }));
}
