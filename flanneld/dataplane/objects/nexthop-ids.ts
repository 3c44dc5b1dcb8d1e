// Chooses the ids of nexthop objects, in a range of their own with one half for each family. The id follows from the position of the subnet
// in the network, so that the same leases get the same ids on every run (linux/nexthop.h).

import { addressBits, type Family, type IpPrefix } from '../../../lib/ip.ts';

/** First and last id of the reserved range; ids are unsigned 32-bit numbers that all programs of a namespace share. */
export const NEXTHOP_ID_FIRST = 0x57e00000;
const NEXTHOP_ID_LAST = 0x57efffff;

const HALF = 0x80000;

export function isReservedNexthopId(id: number): boolean {
  return id >= NEXTHOP_ID_FIRST && id <= NEXTHOP_ID_LAST;
}

/** The id that a subnet gets if it is free: its number among the network's subnets of that size. */
export function preferredNexthopId(network: IpPrefix, subnet: IpPrefix): number {
  const shift = BigInt(addressBits(subnet.ip.family) - subnet.length);
  const place = (subnet.ip.value - network.ip.value) >> shift;
  return firstOf(subnet.ip.family) + Number(BigInt.asUintN(19, place));
}

function firstOf(family: Family): number {
  return family === 4 ? NEXTHOP_ID_FIRST : NEXTHOP_ID_FIRST + HALF;
}

/** Gives each subnet an id, skipping those in `taken` (someone else's) and those already given. */
export class NexthopIds {
  readonly #network: IpPrefix;
  readonly #taken: ReadonlySet<number>;
  readonly #given = new Set<number>();
  /** Whether each subnet got the id that it would have got if it were the only one. */
  areAllPreferred = true;

  constructor(network: IpPrefix, taken: ReadonlySet<number>) {
    this.#network = network;
    this.#taken = taken;
  }

  /** Undefined only when all 524288 ids of the subnet's family are in use. */
  take(subnet: IpPrefix): number | undefined {
    const first = firstOf(subnet.ip.family);
    const preferred = preferredNexthopId(this.#network, subnet) - first;
    for (let step = 0; step < HALF; step++) {
      const id = first + ((preferred + step) % HALF);
      if (this.#taken.has(id) || this.#given.has(id)) continue;
      this.#given.add(id);
      if (step > 0) this.areAllPreferred = false;
      return id;
    }
    return undefined;
  }
}
