// host-local's algorithm: one address from each range set, requested ones first, else round robin after the last allocated address
// (containernetworking/plugins …/allocator/{allocator,iterator}.go).

import { addToIp, formatIp, type Ip, type IpPrefix, sameIp } from '../../lib/ip.ts';
import type { AddressStore, Owner } from '../../lib/pods/address-store.ts';
import { CniError, failure, prefixed, UNTYPED } from '../protocol/error.ts';
import type { ResultIp } from '../protocol/result.ts';
import type { IpamConfig, RequestedIp } from './host-local-config.ts';
import { inRange, type Range, type RangeSet, rangeOf, rangeSetText } from './ranges.ts';

/** Tries to free addresses of a set; returns true when another search may find one. */
export type Reclaim = (store: AddressStore, set: RangeSet) => boolean;

interface Taken {
  readonly ip: Ip;
  readonly range: Range;
}

/**
 * Visits a set's addresses in round-robin order, beginning after `last` (or with the first), each once and without gateways, until `take`
 * accepts one.
 */
export function visitAddresses(set: RangeSet, last: Ip | undefined, take: (ip: Ip) => boolean): Taken | undefined {
  const lastIndex = last === undefined ? -1 : set.findIndex((range) => inRange(range, last));
  let index = Math.max(lastIndex, 0);
  let range = set[index];
  if (range === undefined) return undefined;
  const step = (from: Ip): Ip => {
    if (range !== undefined && !sameIp(from, range.end)) return addToIp(from, 1);
    index = (index + 1) % set.length;
    range = set[index];
    return range?.start ?? from;
  };
  const first = last === undefined || lastIndex < 0 ? range.start : step(last);
  let ip = first;
  do {
    if (range !== undefined && !sameIp(ip, range.gateway) && take(ip)) return { ip, range };
    ip = step(ip);
  } while (!sameIp(ip, first));
  return undefined;
}

function takeRequested(store: AddressStore, set: RangeSet, owner: Owner, ip: Ip): Taken {
  const range = rangeOf(set, ip);
  if (range === undefined) throw failure(`${formatIp(ip)} not in range set ${rangeSetText(set)}`);
  if (sameIp(ip, range.gateway)) throw failure(`requested ip ${formatIp(ip)} is subnet's gateway`);
  if (store.reserve(ip, owner)) return { ip, range };
  throw failure(`requested IP address ${formatIp(ip)} is not available in range set ${rangeSetText(set)}`);
}

function takeNext(store: AddressStore, set: RangeSet, owner: Owner, last: Ip | undefined, reclaim: Reclaim): Taken {
  const take = (ip: Ip): boolean => store.reserve(ip, owner);
  const taken = visitAddresses(set, last, take) ?? (reclaim(store, set) ? visitAddresses(set, last, take) : undefined);
  if (taken !== undefined) return taken;
  throw exhausted(store, set);
}

/** How many holders an error names; a /24 has 253. */
const NAMED_HOLDERS = 20;

function exhausted(store: AddressStore, set: RangeSet): CniError {
  const holders: string[] = [];
  let more = 0;
  for (const { ip, owner } of store.holdings()) {
    if (rangeOf(set, ip) === undefined) continue;
    if (holders.length < NAMED_HOLDERS) holders.push(`${formatIp(ip)} ${owner.replace('\r\n', ' ')}`);
    else more++;
  }
  const details = `held by: ${holders.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  return new CniError(UNTYPED, `no IP addresses available in range set: ${rangeSetText(set)}`, details);
}

function takeFrom(
  store: AddressStore,
  set: RangeSet,
  requested: RequestedIp[],
  owner: Owner,
  last: Ip | undefined,
  reclaim: Reclaim,
): Taken {
  const wanted = requested.findIndex((request) => rangeOf(set, request.ip) !== undefined);
  const request = requested[wanted];
  if (request !== undefined) {
    requested.splice(wanted, 1);
    return takeRequested(store, set, owner, request.ip);
  }
  const already = store.indexed(owner).find((ip) => rangeOf(set, ip) !== undefined);
  if (already === undefined) return takeNext(store, set, owner, last, reclaim);
  const holder = `${formatIp(already)} has been allocated to ${owner.containerId}`;
  throw failure(`${holder}, duplicate allocation is not allowed`);
}

function prefixOf(taken: Taken): IpPrefix {
  return { ip: taken.ip, length: taken.range.subnet.length };
}

/** Takes one address from every set, or none at all. Throws CniError 999. */
export function allocate(store: AddressStore, config: IpamConfig, owner: Owner, reclaim: Reclaim): ResultIp[] {
  const requested = [...config.requested];
  const taken: Taken[] = [];
  try {
    config.sets.forEach((set, index) => {
      try {
        const last = store.lastReserved(index);
        const next = takeFrom(store, set, requested, owner, last.ip, reclaim);
        taken.push(next);
        store.setLastReserved(index, next.ip, last.lengthBytes);
      } catch (thrown) {
        throw prefixed(`failed to allocate for range ${index}: `, thrown);
      }
    });
    if (requested.length > 0) {
      throw failure(`failed to allocate all requested IPs: ${requested.map(({ ip }) => formatIp(ip)).join(' ')}`);
    }
  } catch (thrown) {
    store.releaseAddresses(
      owner,
      taken.map(({ ip }) => ip),
    );
    throw thrown;
  }
  return taken.map((each) => ({ address: prefixOf(each), gateway: each.range.gateway }));
}
