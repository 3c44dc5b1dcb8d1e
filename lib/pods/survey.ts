// Judges all holders on this node. It collects once what verdict.ts needs for all of them.

import { errorText, OpError } from '../errors.ts';
import { formatIp, type Ip } from '../ip.ts';
import { type Netlink, openNetlink } from '../netlink/connection.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { UNKNOWN_OWNER } from './address-store.ts';
import { type CachedResult, cachedResultName, listCachedResults } from './cached-result.ts';
import { lookAtNode, type NodeView } from './node-view.ts';
import { readTraces, type SignOfLife, signsOfLife, type Traces, type Traits } from './signs-of-life.ts';
import { findUnexplained, type Known, knownAs } from './unexplained.ts';
import { judge, judgeAlone, type NetnsState, netnsStateOf, type Surroundings, type Verdict } from './verdict.ts';

/** An attachment that holds something, or an address file without an owner. */
export interface Holder {
  readonly containerId: string;
  readonly ifname: string;
  /** The text in the address file, `<container>\r\n<interface>`; '' when it has no owner. */
  readonly owner: string;
  readonly ips: readonly Ip[];
  /** Whether its ADD is running. This is determined before the node is examined. */
  readonly isBeingAdded: boolean;
  /** Whether it only has a file of flannel's own plugin, which takes no lock. */
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
  /** The attachment that this process attaches or detaches. */
  readonly own?: Known;
}

/** What was found on the node and in the runtime's cache. */
export interface Seen {
  readonly view: NodeView;
  readonly traces: Traces;
  /** The results of all networks, by the names of libcni's files. */
  readonly cached: ReadonlyMap<string, CachedResult>;
}

/**
 * One verdict for each holder, in their order. The caller must have held the store's lock since before it listed the holders: an ADD that
 * has released the lock on its address since then already has its port when the node is examined. When the node cannot be examined,
 * everything may be alive, and the verdicts say why. Throws SysError.
 */
export function survey(sys: Syscalls, scope: SurveyScope, holders: readonly Holder[]): Verdict[] {
  const cached = listCachedResults(sys, scope.results);
  const alone = holders.flatMap((holder) => {
    const netns = netnsStateOf(cachedOf(scope, cached, holder), scope.lookAtNetns);
    return judgeAlone({ netns, isBeingAdded: holder.isBeingAdded }) ?? [];
  });
  // On most nodes the netns of every holder exists, and then the node need not be examined.
  if (alone.length === holders.length) return alone;
  let netlink: Netlink | undefined;
  try {
    netlink = openNetlink(sys);
    const view = lookAtNode(sys, netlink, scope.bridge);
    return judgeAll(scope, { view, traces: readTraces(netlink, scope.bridge), cached }, holders);
  } catch (error) {
    if (!(error instanceof OpError)) throw error;
    const why = errorText(error);
    return holders.map(() => ({ isDead: false, why }));
  } finally {
    netlink?.close();
  }
}

function cachedOf(
  { network }: SurveyScope,
  cached: ReadonlyMap<string, CachedResult>,
  { containerId, ifname }: Pick<Holder, 'containerId' | 'ifname'>,
): CachedResult | undefined {
  return cached.get(cachedResultName(network, containerId, ifname));
}

interface Judging {
  readonly scope: SurveyScope;
  readonly node: Surroundings;
  readonly signs: SignOfLife;
  /** The attachments of this network in the runtime's cache, by address. */
  readonly remembered: ReadonlyMap<string, readonly CachedResult[]>;
}

/** Pure, except for `lookAtNetns`. */
export function judgeAll(scope: SurveyScope, seen: Seen, holders: readonly Holder[]): Verdict[] {
  const { network, bridge, isBridged, blind, own } = scope;
  const cached = [...seen.cached.values()];
  const traits = holders.map(({ containerId, ifname, ips }): Traits => {
    return { ...knownAs(containerId, ifname, cachedOf(scope, seen.cached, { containerId, ifname })), ips };
  });
  const ofHolders = new Set(traits.map((one) => one.cached));
  const others = cached.filter((result) => !ofHolders.has(result));
  const known = [...traits, ...others.map((result) => knownAs(result.containerId, result.ifname, result))];
  const unexplained = findUnexplained(seen.view, own === undefined ? known : [...known, own]);
  const judging: Judging = {
    scope,
    node: { ...unexplained, bridge, isBridged, blind },
    signs: signsOfLife(bridge, seen.view, seen.traces),
    // Before libcni 0.8, the network's name was only in the file's name.
    remembered: byAddress(cached.filter((result) => result.network === network || result.network === '')),
  };
  return holders.map((holder, at) => {
    const each = traits[at];
    if (each === undefined) return { isDead: false, why: '' };
    return judgeOne(judging, holder, each, () => claimOn(judging, each));
  });
}

function byAddress(cached: readonly CachedResult[]): Map<string, CachedResult[]> {
  const found = new Map<string, CachedResult[]>();
  for (const result of cached) for (const ip of result.ips) found.set(ip, [...(found.get(ip) ?? []), result]);
  return found;
}

function judgeOne(
  { scope, node, signs }: Judging,
  { owner, isBeingAdded, mayBeAddedUnseen }: Pick<Holder, 'owner' | 'isBeingAdded' | 'mayBeAddedUnseen'>,
  traits: Traits,
  findClaim: () => string | undefined,
): Verdict {
  const netns = netnsStateOf(traits.cached, scope.lookAtNetns);
  const findSign = (): string | undefined => {
    if (owner === UNKNOWN_OWNER) return 'its file says nothing';
    return signs(traits) ?? findClaim();
  };
  return judge({ owner, isBeingAdded, mayBeAddedUnseen, netns }, node, findSign);
}

/** A live pod keeps its address even if the file names another owner, because the files may come from another node. */
function claimOn(judging: Judging, { containerId, ifname, ips }: Traits): string | undefined {
  for (const text of ips.map(formatIp)) {
    for (const cached of judging.remembered.get(text) ?? []) {
      const { containerId: id, ifname: name } = cached;
      if (id === containerId && name === ifname) continue;
      const facts = { owner: `${id}\r\n${name}`, isBeingAdded: false, mayBeAddedUnseen: false };
      const traits = { ...knownAs(id, name, cached), ips: [] };
      const { isDead } = judgeOne(judging, facts, traits, () => undefined);
      if (!isDead) return `the runtime’s cache has ${text} for ${id} ${name}`;
    }
  }
  return undefined;
}
