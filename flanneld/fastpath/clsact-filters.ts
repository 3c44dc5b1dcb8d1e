// Programs attached as filters of clsact, before Linux 6.6. A filter is ours if its priority, handle and name are ours. So no list of
// filters is kept, and an agent finds those that an earlier one has left.

import type { Netlink } from '../../lib/netlink/connection.ts';
import { NetlinkError } from '../../lib/netlink/request.ts';
import {
  addClsact,
  deleteClsact,
  deleteIngressFilter,
  type FilterPlace,
  type IngressFilter,
  listFilters,
  replaceIngressFilter,
} from '../../lib/rtnetlink/bpf-filter.ts';
import { getIngressKind, listQdiscs } from '../../lib/rtnetlink/qdisc.ts';
import { EEXIST, ENODEV } from '../../lib/sys/errno.ts';
import type { Attachments } from './attachments.ts';

const PRIORITY = 0x57e0;
const HANDLE = 0x57e0_0000;
const NAME = 'weft_fast_path';

export class ClsactFilters implements Attachments {
  readonly #netlink: Netlink;

  constructor(netlink: Netlink) {
    this.#netlink = netlink;
  }

  list(): ReadonlyMap<number, number> {
    const found = new Map<number, number>();
    for (const { index, kind } of listQdiscs(this.#netlink)) {
      const own = kind === 'clsact' ? this.#filters(index).find(isOurs) : undefined;
      if (own !== undefined) found.set(index, own.programId ?? 0);
    }
    return found;
  }

  attach(ifindex: number, program: number): void {
    this.#ensureHook(ifindex);
    this.#netlink.run(replaceIngressFilter(placeAt(ifindex), NAME, program));
  }

  detach(ifindex: number): void {
    const filters = this.#filters(ifindex);
    if (filters.some(isOurs)) this.#netlink.run(deleteIngressFilter(placeAt(ifindex)));
    // The hook was made for the filter; somebody else may use it by now.
    const isUsed =
      filters.some((filter) => !isOurs(filter)) || listFilters(this.#netlink, ifindex, 'egress').length > 0;
    if (filters.some(isOurs) && !isUsed) this.#netlink.run(deleteClsact(ifindex));
  }

  foreign(ifindex: number): number {
    return foreignFilters(this.#netlink, ifindex);
  }

  close(): void {
    // A filter holds its program, so there is nothing to close.
  }

  #filters(ifindex: number): IngressFilter[] {
    return listFilters(this.#netlink, ifindex, 'ingress');
  }

  #ensureHook(ifindex: number): void {
    try {
      this.#netlink.run(addClsact(ifindex));
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === EEXIST)) throw error;
    }
  }
}

/**
 * How many filters of others a device has, for packets that arrive and packets that leave; 0 when the device is gone. Throws NetlinkError.
 */
export function foreignFilters(netlink: Netlink, ifindex: number): number {
  if (!hasHook(netlink, ifindex)) return 0;
  const filters = (['ingress', 'egress'] as const).flatMap((hook) => listFilters(netlink, ifindex, hook));
  return filters.filter((filter) => !isOurs(filter)).length;
}

function hasHook(netlink: Netlink, ifindex: number): boolean {
  try {
    return getIngressKind(netlink, ifindex) === 'clsact';
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ENODEV) return false;
    throw error;
  }
}

/**
 * Removes the filters that an agent has left, on a kernel with or without tcx. Returns the indexes of their devices. Throws NetlinkError.
 */
export function removeFilters(netlink: Netlink): number[] {
  const filters = new ClsactFilters(netlink);
  const found = [...filters.list().keys()];
  for (const ifindex of found) filters.detach(ifindex);
  return found;
}

const placeAt = (index: number): FilterPlace => ({ index, priority: PRIORITY, handle: HANDLE });

function isOurs({ priority, handle, kind, name }: IngressFilter): boolean {
  return priority === PRIORITY && handle === HANDLE && kind === 'bpf' && name === NAME;
}
