// Judges everybody who holds something on this node: gathers what verdict.ts needs, once for all of them.

import { errorText, OpError } from '../errors.ts';
import { formatIp, type Ip } from '../ip.ts';
import { type Netlink, openNetlink } from '../netlink/connection.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { UNKNOWN_OWNER } from './address-store.ts';
import { type CachedResult, listCachedResults, readCachedResult } from './cached-result.ts';
import { lookAtNode, type NodeView } from './node-view.ts';
import { readTraces, type SignOfLife, signsOfLife, type Traces, type Traits } from './signs-of-life.ts';
import { findUnexplained, type Known } from './unexplained.ts';
import { type Facts, judge, type NetnsState, netnsStateOf, type Surroundings, type Verdict } from './verdict.ts';

/** One attachment that holds something, or one address file that names nobody. */
export interface Holder {
  readonly containerId: string;
  readonly ifname: string;
  /** As an address file has it, `<container>\r\n<interface>`; '' where it names nobody. */
  readonly owner: string;
  readonly ips: readonly Ip[];
  /** Whether its ADD is running; looked at before this module looks at the node. */
  readonly isBeingAdded: boolean;
  /** Whether all it has is a file of flannel's own plugin, which takes no lock. */
  readonly mayBeAddedUnseen: boolean;
}

/** Where to look. */
export interface SurveyScope {
  readonly network: string;
  readonly bridge: string;
  readonly isBridged: boolean;
  /** The runtime's cache. */
  readonly results: string;
  readonly lookAtNetns: (path: string) => NetnsState;
  readonly blind: string | undefined;
  /** Who is attached or detached by this process. */
  readonly own?: Known;
}

/** What was seen of the node, and what the runtime remembers. */
export interface Seen {
  readonly view: NodeView;
  readonly traces: Traces;
  /** Of all networks. */
  readonly cached: readonly CachedResult[];
  readonly cachedOf: (holder: Holder) => CachedResult | undefined;
}

/**
 * One verdict a holder, in their order. Whoever frees what is dead holds the store's lock from before the holders were
 * listed: an ADD whose lock on its address is gone by then has its port when the node is looked at. When the node cannot be
 * looked at, everything may be alive, and the verdicts say why. Throws SysError.
 */
export function survey(sys: Syscalls, scope: SurveyScope, holders: readonly Holder[]): Verdict[] {
  if (holders.length === 0) return [];
  let netlink: Netlink | undefined;
  try {
    netlink = openNetlink(sys);
    const view = lookAtNode(sys, netlink, scope.bridge);
    const traces = readTraces(netlink, scope.bridge);
    const cached = listCachedResults(sys, scope.results);
    const cachedOf = ({ containerId, ifname }: Holder): CachedResult | undefined =>
      readCachedResult(sys, scope.results, scope.network, containerId, ifname);
    return judgeAll(scope, { view, traces, cached, cachedOf }, holders);
  } catch (error) {
    if (!(error instanceof OpError)) throw error;
    const why = errorText(error);
    return holders.map(() => ({ isDead: false, why }));
  } finally {
    netlink?.close();
  }
}

interface Judging {
  readonly scope: SurveyScope;
  readonly node: Surroundings;
  readonly signs: SignOfLife;
  /** Everybody the runtime remembers in this network. */
  readonly remembered: readonly CachedResult[];
}

/** Pure, but for `lookAtNetns`. */
export function judgeAll(scope: SurveyScope, seen: Seen, holders: readonly Holder[]): Verdict[] {
  const { network, bridge, isBridged, blind, own } = scope;
  const traits = holders.map((holder): Traits => {
    const { containerId, ifname, ips } = holder;
    return { containerId, ifname, ips, cached: seen.cachedOf(holder) };
  });
  const known: Known[] = [...traits, ...seen.cached.map((cached) => ({ ...cached, cached }))];
  const unexplained = findUnexplained(seen.view, own === undefined ? known : [...known, own]);
  const judging: Judging = {
    scope,
    node: { ...unexplained, bridge, isBridged, blind },
    signs: signsOfLife(bridge, seen.view, seen.traces),
    // Before libcni 0.8 the network's name was in that of the file only.
    remembered: seen.cached.filter((cached) => cached.network === network || cached.network === ''),
  };
  return holders.map((holder, at) => {
    const each = traits[at] ?? { ...holder, cached: undefined };
    const facts = factsOf(judging, holder, each);
    return judge({ ...facts, sign: facts.sign ?? claimOn(judging, each) }, judging.node);
  });
}

function factsOf({ scope, signs }: Judging, holder: Holder, traits: Traits): Facts {
  const { owner, isBeingAdded, mayBeAddedUnseen } = holder;
  return {
    owner,
    isBeingAdded,
    mayBeAddedUnseen,
    netns: netnsStateOf(traits.cached, scope.lookAtNetns),
    sign: owner === UNKNOWN_OWNER ? 'its file says nothing' : signs(traits),
  };
}

/** A live pod has its address though the file names somebody else: the files may be another node's. */
function claimOn(judging: Judging, { containerId, ifname, ips }: Traits): string | undefined {
  for (const text of ips.map(formatIp)) {
    for (const cached of judging.remembered) {
      const { containerId: id, ifname: name } = cached;
      if (!cached.ips.includes(text) || (id === containerId && name === ifname)) continue;
      const claimer = { containerId: id, ifname: name, owner: `${id}\r\n${name}`, ips: [] };
      const facts = factsOf(
        judging,
        { ...claimer, isBeingAdded: false, mayBeAddedUnseen: false },
        { ...claimer, cached },
      );
      if (!judge(facts, judging.node).isDead) return `the runtime’s cache has ${text} for ${id} ${name}`;
    }
  }
  return undefined;
}
