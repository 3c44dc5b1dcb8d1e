// Programs attached as filters of clsact, before Linux 6.6. A filter is ours if its priority, handle and kind are ours. So no list of
// filters is kept, and an agent finds those that an earlier one has left.
//
// While the kernel adds or removes a clsact hook, it deactivates the device's queues, and drops what is sent to the device in that
// millisecond. So a hook stays when its program goes: an idle filter takes the program's place, and is replaced by the next program.
// Filters are replaced without a loss. Only `flanneld cleanup` removes the hooks.

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
  replaceWithIdleFilter,
} from '../../lib/rtnetlink/bpf-filter.ts';
import { listQdiscs } from '../../lib/rtnetlink/qdisc.ts';
import { EEXIST } from '../../lib/sys/errno.ts';
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
    for (const index of hookedDevices(this.#netlink)) {
      const own = this.#filters(index).find(isOurs);
      if (own !== undefined && !isIdle(own)) found.set(index, own.programId ?? 0);
    }
    return found;
  }

  attach(ifindex: number, program: number): void {
    this.#ensureHook(ifindex);
    this.#netlink.run(replaceIngressFilter(placeAt(ifindex), NAME, program));
  }

  /** Leaves the hook with an idle filter. */
  detach(ifindex: number): void {
    if (this.#filters(ifindex).some(isOurs)) this.#netlink.run(replaceWithIdleFilter(placeAt(ifindex)));
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

/** The indexes of all devices that have a clsact hook. */
function hookedDevices(netlink: Netlink): number[] {
  return listQdiscs(netlink).flatMap(({ index, kind }) => (kind === 'clsact' ? [index] : []));
}

/**
 * How many filters of others a device has, for packets that arrive and packets that leave; 0 when the device is gone. Throws NetlinkError.
 */
export function foreignFilters(netlink: Netlink, ifindex: number): number {
  const filters = (['ingress', 'egress'] as const).flatMap((hook) => listFilters(netlink, ifindex, hook));
  return filters.filter((filter) => !isOurs(filter)).length;
}

/** Takes the programs out of the filters that an agent has left, on a kernel with or without tcx. Returns the indexes of their devices. */
export function idleFilters(netlink: Netlink): number[] {
  const filters = new ClsactFilters(netlink);
  const found = [...filters.list().keys()];
  for (const ifindex of found) filters.detach(ifindex);
  return found;
}

/** The indexes of the devices that have a filter of ours, idle or not. */
export function devicesWithFilters(netlink: Netlink): number[] {
  return hookedDevices(netlink).filter((ifindex) => listFilters(netlink, ifindex, 'ingress').some(isOurs));
}

/** Removes our filter of a device, and the hook unless somebody else uses it by now. */
export function removeFilter(netlink: Netlink, ifindex: number): void {
  const filters = listFilters(netlink, ifindex, 'ingress');
  if (!filters.some(isOurs)) return;
  netlink.run(deleteIngressFilter(placeAt(ifindex)));
  if (foreignFilters(netlink, ifindex) === 0) netlink.run(deleteClsact(ifindex));
}

const placeAt = (index: number): FilterPlace => ({ index, priority: PRIORITY, handle: HANDLE });

function isOurs({ priority, handle, kind, name }: IngressFilter): boolean {
  return priority === PRIORITY && handle === HANDLE && kind === 'bpf' && (name === undefined || name === NAME);
}

/** An idle filter has instructions of its own in place of a loaded program. */
function isIdle({ programId }: IngressFilter): boolean {
  return programId === undefined;
}
