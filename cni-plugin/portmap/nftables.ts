// Port mappings in nftables: elements are read and written by netlink, all of an attachment in one transaction. nft(8) is executed only
// when the rules that all attachments share are missing.

import type { IpPrefix } from '../../lib/ip.ts';
import { addElement, deleteElement, getElement, type SetElement } from '../../lib/netfilter/elements.ts';
import { closeSoon, isOutdated, type Netfilter, openNetfilter } from '../../lib/netfilter/netfilter-socket.ts';
import { listRules, readGeneration } from '../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { NetlinkError, type NetlinkRequest } from '../../lib/netlink/request.ts';
import { sleepMs } from '../../lib/sys/clock.ts';
import { EEXIST, ENOENT } from '../../lib/sys/errno.ts';
import { applyNft, findNft } from '../nft.ts';
import { failure } from '../protocol/error.ts';
import type { Invocation } from '../protocol/plugin.ts';
import { forgetConnections, staleAfterAdd } from './connections.ts';
import { type Place, sameElement, type Wanted, wantedElements } from './elements.ts';
import { ATTACHMENTS, layoutStatements, missingRules, type Need, namesOf, TABLE } from './layout.ts';
import { otherMarkChains, removeLostChains } from './lost-chains.ts';
import { ownPlaces } from './own-places.ts';
import { ownComment, ownerIn, ownerOf } from './owner.ts';
import type { PortmapConfig } from './portmap-config.ts';
import { withSharedRulesLock } from './shared-rules-lock.ts';

const ATTEMPTS = 25;
const ATTACHMENTS_REF = { table: TABLE, set: ATTACHMENTS };

/** The key of an attachment: its owner in the form of a stored interface name, 16 bytes. */
function attachmentKey(owner: string): Uint8Array {
  const key = new Uint8Array(16);
  for (let at = 0; at < owner.length; at++) key[at] = owner.charCodeAt(at);
  return key;
}

export function getAttachment(netlink: Netlink, owner: string): SetElement | undefined {
  return getElement(netlink, ATTACHMENTS_REF, attachmentKey(owner));
}

export function deleteAttachment(owner: string): NetlinkRequest {
  return deleteElement(ATTACHMENTS_REF, attachmentKey(owner), owner);
}

/** What the mappings of these containers need in each family; a family without mappings needs nothing. */
function needsOf(config: PortmapConfig, containers: readonly IpPrefix[]): Need[] {
  return containers.map((container) => ({
    names: namesOf(config, container.ip.family),
    config,
    container,
  }));
}

/** Maps the ports and replaces earlier mappings of them. Throws CniError 999 or NetlinkError. */
export function addNftables(invocation: Invocation, config: PortmapConfig, containers: readonly IpPrefix[]): void {
  const needs = needsOf(config, containers);
  const wanted = wantedElements(needs, ownComment(invocation));
  const netfilter = openNetfilter(invocation.sys);
  let replaced = false;
  try {
    const others = ensureLayout(invocation, netfilter.netlink, needs);
    replaced = writeElements(invocation, netfilter, needs, wanted);
    replaced = removeLostChains(netfilter, others) || replaced;
    forgetConnections(invocation, netfilter.netlink, staleAfterAdd(config, containers));
  } finally {
    if (replaced) closeSoon(invocation.sys, netfilter);
    else netfilter.close();
  }
}

/** If something was missing, returns the other marking chains: the node may have had another subnet. */
function ensureLayout(invocation: Invocation, netlink: Netlink, needs: readonly Need[]): string[] {
  const present = listRules(netlink, TABLE);
  if (missingRules(needs, present).length === 0) return [];
  withSharedRulesLock(invocation, () => makeLayout(invocation, netlink, needs));
  return otherMarkChains(needs, present);
}

/** The rules name sets and maps, so these exist if the rules do. Only the set of attachments is not named in a rule. */
function makeLayout(invocation: Invocation, netlink: Netlink, needs: readonly Need[]): void {
  const nft = findNft(invocation);
  if (nft === undefined) throw failure('nft is not installed');
  applyNft(invocation, nft, layoutStatements(needs, listRules(netlink, TABLE)));
}

/** Returns whether anything was deleted. */
function writeElements(
  invocation: Invocation,
  netfilter: Netfilter,
  needs: readonly Need[],
  wanted: readonly Wanted[],
): boolean {
  return retried(invocation, (attempt) => {
    const generation = readGeneration(netfilter.netlink);
    const deletions = staleOwn(invocation, netfilter.netlink, wanted);
    const additions: NetlinkRequest[] = [];
    for (const one of wanted) {
      settle(netfilter.netlink, one, one.element, 'dnat', deletions, additions);
      settle(netfilter.netlink, one, one.marking, 'mark', deletions, additions);
    }
    settleAttachment(invocation, netfilter.netlink, wanted.length, deletions, additions);
    try {
      // An addition fails by itself when another process has added the key first.
      netfilter.transact([...deletions, ...additions], deletions.length > 0 ? generation : undefined);
    } catch (thrown) {
      if (isErrno(thrown, ENOENT) && attempt > 1) makeLayout(invocation, netfilter.netlink, needs);
      throw thrown;
    }
    return deletions.length > 0;
  });
}

/** Makes one key of one map have the wanted data. */
function settle(
  netlink: Netlink,
  place: Place,
  element: SetElement | undefined,
  map: 'dnat' | 'mark',
  deletions: NetlinkRequest[],
  additions: NetlinkRequest[],
): void {
  const current = getElement(netlink, place[map], place.key);
  if (sameElement(current, element)) return;
  if (current !== undefined) deletions.push(deleteElement(place[map], place.key, place.spelled));
  if (element !== undefined) additions.push(addElement(place[map], element, place.spelled));
}

/** Mappings of an earlier ADD of the same attachment that are not wanted any more. */
function staleOwn(invocation: Invocation, netlink: Netlink, wanted: readonly Wanted[]): NetlinkRequest[] {
  const owner = ownerOf(invocation, invocation.containerId, invocation.ifname);
  if (getAttachment(netlink, owner) === undefined) return [];
  const keep = new Set(wanted.map(({ dnat, key }) => `${dnat.set} ${key.join()}`));
  return ownPlaces(netlink, (comment) => ownerIn(comment) === owner)
    .filter(({ dnat, key }) => !keep.has(`${dnat.set} ${key.join()}`))
    .flatMap((place) => deletePlace(netlink, place));
}

/** The deletions that empty a place. */
export function deletePlace(netlink: Netlink, place: Place): NetlinkRequest[] {
  const { dnat, mark, key, spelled } = place;
  const deletions = [deleteElement(dnat, key, spelled)];
  if (getElement(netlink, mark, key) !== undefined) deletions.push(deleteElement(mark, key, spelled));
  return deletions;
}

/** The attachment's comment begins with the number of its mappings. */
function settleAttachment(
  invocation: Invocation,
  netlink: Netlink,
  count: number,
  deletions: NetlinkRequest[],
  additions: NetlinkRequest[],
): void {
  const owner = ownerOf(invocation, invocation.containerId, invocation.ifname);
  const element = { key: attachmentKey(owner), comment: `${count} ${ownComment(invocation)}`.slice(0, 128) };
  const current = getAttachment(netlink, owner);
  if (sameElement(current, element)) return;
  if (current !== undefined) deletions.push(deleteAttachment(owner));
  additions.push(addElement(ATTACHMENTS_REF, element, owner));
}

function isErrno(thrown: unknown, ...errnos: readonly number[]): boolean {
  return thrown instanceof NetlinkError && errnos.includes(thrown.errno);
}

/** Repeats what failed because the rule set was changed between reading and writing. */
export function retried<T>(invocation: Invocation, body: (attempt: number) => T): T {
  const spread = (invocation.sys.call(invocation.sys.nr.getpid) % 8) / 8;
  for (let attempt = 1; ; attempt++) {
    try {
      return body(attempt);
    } catch (thrown) {
      if (attempt === ATTEMPTS || !(isOutdated(thrown) || isErrno(thrown, EEXIST, ENOENT))) throw thrown;
      sleepMs(invocation.sys, Math.min(attempt, 8) * spread);
    }
  }
}

/** Throws CniError 999 with the first thing that differs from what ADD made. */
export function checkNftables(invocation: Invocation, config: PortmapConfig, containers: readonly IpPrefix[]): void {
  const needs = needsOf(config, containers);
  const { sys } = invocation;
  const netfilter = openNetfilter(sys);
  try {
    const [missing] = missingRules(needs, listRules(netfilter.netlink, TABLE));
    if (missing !== undefined) throw failure(`missing hostport rules: ${missing}`);
    for (const { dnat, mark, key, spelled, element, marking } of wantedElements(needs, ownComment(invocation))) {
      const found = getElement(netfilter.netlink, dnat, key);
      if (!sameElement(found, element)) throw failure(wrongElement(dnat.set, spelled, found));
      if (!sameElement(getElement(netfilter.netlink, mark, key), marking)) {
        throw failure(`missing hostport rules in ${mark.set}: ${spelled}`);
      }
    }
  } finally {
    netfilter.close();
  }
}

function wrongElement(set: string, spelled: string, found: SetElement | undefined): string {
  if (found === undefined) return `missing hostport rules in ${set}: ${spelled}`;
  return `hostport rule in ${set}: ${spelled}: is of another attachment (${found.comment})`;
}
