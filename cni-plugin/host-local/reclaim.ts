// Frees addresses whose holders are provably dead (lib/pods/verdict.ts): when a range is used up, and at a DEL those of a killed ADD that
// had not yet written the owner. The caller holds the store's lock.

import { formatIp, type Ip } from '../../lib/ip.ts';
import { type AddressStore, type Holding, ownerParts } from '../../lib/pods/address-store.ts';
import { RESULTS_FOLDER } from '../../lib/pods/cached-result.ts';
import { type Holder, type SurveyScope, survey } from '../../lib/pods/survey.ts';
import { knownAs } from '../../lib/pods/unexplained.ts';
import { lookAtNetns } from '../../lib/pods/verdict.ts';
import { stringField } from '../protocol/fields.ts';
import type { Invocation } from '../protocol/plugin.ts';
import type { Reclaim } from './allocate.ts';
import { rangeOf } from './ranges.ts';

/** Where libcni caches the results of ADDs. */
export const RESULT_CACHE = `/var/lib/cni/${RESULTS_FOLDER}`;

/** Frees a set's addresses that dead holders have. `results` is the runtime's cache; `judge` examines the node. */
export function reclaimDead(invocation: Invocation, results: string, judge = survey): Reclaim {
  return (store, set) => {
    // They are judged together with the holders of the other sets, because those explain ports and namespaces.
    const holdings = store.holdings();
    const verdicts = judge(
      invocation.sys,
      scopeOf(invocation, results),
      holdings.map((holding) => holderOf(store, holding)),
    );
    let freed = false;
    holdings.forEach(({ ip, owner }, at) => {
      const { isDead, why } = verdicts[at] ?? { isDead: false, why: '' };
      if (!isDead || rangeOf(set, ip) === undefined) return;
      const { containerId, ifname } = ownerParts(owner);
      store.releaseAddresses({ containerId, ifname }, [ip]);
      invocation.note(`freed ${formatIp(ip)} of ${containerId} ${ifname}: ${why}`);
      freed = true;
    });
    return freed;
  };
}

/** Returns those addresses whose files have no owner and that no pod can have. */
export function deadNobodys(
  invocation: Invocation,
  results: string,
  store: AddressStore,
  ips: readonly Ip[],
  judge = survey,
): Ip[] {
  const all = store.holdings().map((holding) => holderOf(store, holding));
  const verdicts = judge(invocation.sys, scopeOf(invocation, results), all);
  const dead = all.filter(({ owner }, at) => owner === '' && verdicts[at]?.isDead === true).flatMap((one) => one.ips);
  return ips.filter((ip) => dead.some((other) => formatIp(other) === formatIp(ip)));
}

function holderOf(store: AddressStore, { ip, owner }: Holding): Holder {
  return { ...ownerParts(owner), owner, ips: [ip], isBeingAdded: store.isBeingAdded(ip), mayBeAddedUnseen: false };
}

function scopeOf({ sys, name, root, containerId, ifname, netns }: Invocation, results: string): SurveyScope {
  const given = { netns: netns === '' ? [] : [netns], hostInterfaces: [], podMacs: [], ips: [] };
  return {
    network: name,
    bridge: stringField(root, 'bridge') || 'cni0',
    // If another plugin uses our IPAM, its devices are of another kind.
    isBridged: stringField(root, 'type') === 'bridge',
    results,
    lookAtNetns: (path) => lookAtNetns(sys, path),
    // The runtime runs this process where it pins namespaces, so it sees all of them.
    blind: undefined,
    own: knownAs(containerId, ifname, { network: name, containerId, ifname, ...given }),
  };
}
