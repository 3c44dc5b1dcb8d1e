// The addresses peers send from, in the sets of `inet weft`: what the guard's rules look into. Written by netlink, an
// element at a time, so that one peer more or less among thousands costs what one element costs.

import { type Family, formatIp, type Ip, ipFromBytes, ipToBytes } from '../../lib/ip.ts';
import type { JsonValue } from '../../lib/json.ts';
import type { Netfilter } from '../../lib/netfilter/connection.ts';
import { addElement, deleteElement, listElements, type SetRef } from '../../lib/netfilter/elements.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { type Elements, elementLines } from './nft-table.ts';
import { PEERS } from './tunnel-rules.ts';

const FAMILIES = [4, 6] as const;
/** More changes than this are not one transaction of netlink but a script for nft. */
const MOST_AT_ONCE = 1000;

type Addresses = Readonly<Record<Family, ReadonlySet<bigint>>>;

/** What the guard needs of a lease. */
export interface GuardedLease {
  readonly publicIp?: Ip;
  readonly publicIpv6?: Ip;
  readonly hostAddresses?: readonly Ip[];
  readonly backendData?: JsonValue;
  readonly backendV6Data?: JsonValue;
}

type Leases = ReadonlyMap<string, GuardedLease>;

/** Every address the leases and their hosts have; this node's own too, which nobody else can send from. */
export function peerAddresses(leases: Iterable<GuardedLease>): Addresses {
  const found = { 4: new Set<bigint>(), 6: new Set<bigint>() };
  for (const { publicIp, publicIpv6, hostAddresses = [] } of leases) {
    for (const ip of [publicIp, publicIpv6, ...hostAddresses]) if (ip !== undefined) found[ip.family].add(ip.value);
  }
  return found;
}

interface Change {
  readonly family: Family;
  readonly gone: readonly bigint[];
  readonly come: readonly bigint[];
}

export interface PeerSetsOptions {
  /** The table's name. */
  readonly table: string;
  /** Another map after every change. */
  readonly leases: () => Leases;
  readonly netfilter: Netfilter;
}

export class PeerSets {
  readonly #options: PeerSetsOptions;
  #of: Leases | undefined;
  #wanted: Addresses = { 4: new Set(), 6: new Set() };
  /** What the kernel has acknowledged. */
  #known: Addresses | undefined;

  constructor(options: PeerSetsOptions) {
    this.#options = options;
  }

  /** What is wanted, for a table that is written anew; it counts as acknowledged when `written` is called. */
  elements(): Elements {
    const wanted = this.#want();
    return new Map(FAMILIES.map((family) => [PEERS[family], [...wanted[family]].map((value) => spell(family, value))]));
  }

  /** The table was written with `elements`. */
  written(): void {
    this.#known = this.#wanted;
  }

  /**
   * What changed with the leases since the kernel last acknowledged all. Undefined when that is not known, or is too much
   * for one transaction: then `compare` and `rewrite`. Throws NetlinkError, after which nothing is known.
   */
  follow(): boolean | undefined {
    const known = this.#known;
    if (known === undefined) return undefined;
    const changes = this.#changes(known, this.#want());
    // Before any is made into a request: thousands of those would hold up everything else.
    if (changes.reduce((sum, { gone, come }) => sum + gone.length + come.length, 0) > MOST_AT_ONCE) return undefined;
    const requests = changes.flatMap((change) => this.#requests(change));
    this.#apply(requests);
    return requests.length > 0;
  }

  /** Reads what the kernel has and makes it right; resolves to whether anything had to be, undefined when it is too much. */
  compare(): { readonly changed: boolean; readonly byOthers: boolean } | undefined {
    const before = this.#known;
    const listed = this.#list();
    const byOthers = before !== undefined && FAMILIES.some((family) => !sameSet(before[family], listed[family]));
    this.#known = listed;
    const changed = this.follow();
    return changed === undefined ? undefined : { changed, byOthers };
  }

  /** The command lines that make the sets right, whatever is in them, for one transaction. */
  rewrite(): string {
    const table = `inet ${this.#options.table}`;
    const lines = [...this.elements()].flatMap(([set, texts]) => [
      `flush set ${table} ${set}`,
      ...elementLines(`${table} ${set}`, texts),
    ]);
    return `${lines.join('\n')}\n`;
  }

  #want(): Addresses {
    const leases = this.#options.leases();
    if (leases !== this.#of) {
      this.#wanted = peerAddresses(leases.values());
      this.#of = leases;
    }
    return this.#wanted;
  }

  #apply(requests: readonly NetlinkRequest[]): void {
    this.#known = undefined;
    this.#options.netfilter.transact(requests);
    this.#known = this.#wanted;
  }

  #changes(known: Addresses, wanted: Addresses): Change[] {
    if (known === wanted) return [];
    return FAMILIES.map((family) => {
      const gone = missing(known[family], wanted[family]);
      return { family, gone, come: missing(wanted[family], known[family]) };
    });
  }

  #requests({ family, gone, come }: Change): NetlinkRequest[] {
    const ref = this.#ref(family);
    return [
      ...gone.map((value) => deleteElement(ref, keyOf(family, value), spell(family, value))),
      ...come.map((value) => addElement(ref, { key: keyOf(family, value), comment: '' }, spell(family, value))),
    ];
  }

  #list(): Addresses {
    const { netlink } = this.#options.netfilter;
    const listed = { 4: new Set<bigint>(), 6: new Set<bigint>() };
    for (const family of FAMILIES) {
      for (const { key } of listElements(netlink, this.#ref(family))) {
        if (key.length === (family === 4 ? 4 : 16)) listed[family].add(ipFromBytes(key).value);
      }
    }
    return listed;
  }

  #ref(family: Family): SetRef {
    return { table: { family: 'inet', name: this.#options.table }, set: PEERS[family] };
  }
}

function missing(of: ReadonlySet<bigint>, from: ReadonlySet<bigint>): bigint[] {
  const found: bigint[] = [];
  for (const value of of) if (!from.has(value)) found.push(value);
  return found;
}

function sameSet(a: ReadonlySet<bigint>, b: ReadonlySet<bigint>): boolean {
  return a.size === b.size && missing(a, b).length === 0;
}

function ipOf(family: Family, value: bigint): Ip {
  return { family, value };
}

function keyOf(family: Family, value: bigint): Uint8Array {
  return ipToBytes(ipOf(family, value));
}

function spell(family: Family, value: bigint): string {
  return formatIp(ipOf(family, value));
}
