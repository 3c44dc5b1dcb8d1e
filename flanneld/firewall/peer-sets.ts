// The addresses that peers send from, in the sets of `inet weft` that the guard's rules use. They are written by netlink, element by
// element, so that a single new peer among thousands costs only one element.

import { type Family, formatIp, type Ip, ipFromBytes, ipToBytes } from '../../lib/ip.ts';
import type { JsonValue } from '../../lib/json.ts';
import { addElement, deleteElement, listElements, type SetRef } from '../../lib/netfilter/elements.ts';
import type { Netfilter } from '../../lib/netfilter/netfilter-socket.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { changesBetween } from '../../lib/versioned-map.ts';
import { type Elements, elementLines } from './nft-table.ts';
import { PEERS } from './tunnel-rules.ts';

const FAMILIES = [4, 6] as const;
/** With more changes than this, a script for nft is used instead of one netlink transaction. */
const MOST_AT_ONCE = 1000;

/** What the guard needs from a lease. */
export interface GuardedLease {
  readonly publicIp?: Ip;
  readonly publicIpv6?: Ip;
  readonly hostAddresses?: readonly Ip[];
  readonly backendData?: JsonValue;
  readonly backendV6Data?: JsonValue;
}

type Leases = ReadonlyMap<string, GuardedLease>;

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
  #of: Leases = new Map();
  /** The wanted addresses, and how many leases have each. */
  readonly #wanted: Record<Family, Map<bigint, number>> = { 4: new Map(), 6: new Map() };
  /** Addresses whose state in the kernel may be wrong, and whether they are there. Undefined before that is known. */
  #unlike: Unlike | undefined;

  constructor(options: PeerSetsOptions) {
    this.#options = options;
  }

  /** The elements for a table that is about to be written; they count as acknowledged when `written` is called. */
  elements(): Elements {
    this.#followLeases();
    return new Map(
      FAMILIES.map((family) => [PEERS[family], [...this.#wanted[family].keys()].map((value) => spell(family, value))]),
    );
  }

  /** Call when the table was written with `elements`. */
  written(): void {
    this.#unlike = nothingUnlike();
  }

  /**
   * Applies what has changed in the leases since the kernel last acknowledged everything. Undefined when that is not known, or is too much
   * for one transaction: then use `compare` and `rewrite`. Throws NetlinkError, after which nothing is known.
   */
  follow(): boolean | undefined {
    const unlike = this.#unlike;
    if (unlike === undefined) return undefined;
    this.#followLeases();
    const changes = FAMILIES.map((family) => this.#changeOf(family, unlike[family]));
    // This is checked before any request is made: thousands of requests would delay everything else.
    if (changes.reduce((sum, { gone, come }) => sum + gone.length + come.length, 0) > MOST_AT_ONCE) return undefined;
    const requests = changes.flatMap((change) => this.#requests(change));
    this.#unlike = undefined;
    this.#options.netfilter.transact(requests);
    this.#unlike = nothingUnlike();
    return requests.length > 0;
  }

  /** Reads the kernel's sets and corrects them. Returns whether anything was changed; undefined when it is too much. */
  compare(): { readonly changed: boolean; readonly byOthers: boolean } | undefined {
    const before = this.#unlike;
    const listed = this.#list();
    const now = nothingUnlike();
    for (const family of FAMILIES) {
      for (const value of listed[family]) if (!this.#wanted[family].has(value)) now[family].set(value, true);
      for (const value of this.#wanted[family].keys()) if (!listed[family].has(value)) now[family].set(value, false);
    }
    const byOthers = before !== undefined && FAMILIES.some((family) => !sameMap(before[family], now[family]));
    this.#unlike = now;
    const changed = this.follow();
    return changed === undefined ? undefined : { changed, byOthers };
  }

  /** The command lines for one transaction that make the sets correct, whatever they contain. */
  rewrite(): string {
    const table = `inet ${this.#options.table}`;
    const lines = [...this.elements()].flatMap(([set, texts]) => [
      `flush set ${table} ${set}`,
      ...elementLines(`${table} ${set}`, texts),
    ]);
    return `${lines.join('\n')}\n`;
  }

  /** A changed lease is another object, so the others are not read again. */
  #followLeases(): void {
    const [before, leases] = [this.#of, this.#options.leases()];
    if (leases === before) return;
    this.#of = leases;
    for (const change of changesBetween(before, leases)) {
      if (change.after !== undefined) this.#countAll(change.after, 1);
      if (change.before !== undefined) this.#countAll(change.before, -1);
    }
  }

  #countAll(lease: GuardedLease, more: 1 | -1): void {
    for (const ip of addressesOf(lease)) this.#count(ip, more);
  }

  #count({ family, value }: Ip, more: 1 | -1): void {
    const wanted = this.#wanted[family];
    const [before, unlike] = [wanted.get(value) ?? 0, this.#unlike?.[family]];
    if (before + more > 0) wanted.set(value, before + more);
    else wanted.delete(value);
    if (before > 0 === before + more > 0) return;
    // The kernel has what was wanted before, unless another state is already noted.
    if (unlike?.has(value) === false) unlike.set(value, before > 0);
  }

  #changeOf(family: Family, unlike: ReadonlyMap<bigint, boolean>): Change {
    const isWanted = (value: bigint): boolean => this.#wanted[family].has(value);
    const entries = [...unlike];
    return {
      family,
      gone: entries.flatMap(([value, isThere]) => (isThere && !isWanted(value) ? [value] : [])),
      come: entries.flatMap(([value, isThere]) => (!isThere && isWanted(value) ? [value] : [])),
    };
  }

  #requests({ family, gone, come }: Change): NetlinkRequest[] {
    const ref = this.#ref(family);
    return [
      ...gone.map((value) => deleteElement(ref, keyOf(family, value), spell(family, value))),
      ...come.map((value) => addElement(ref, { key: keyOf(family, value), comment: '' }, spell(family, value))),
    ];
  }

  #list(): Readonly<Record<Family, ReadonlySet<bigint>>> {
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

type Unlike = Readonly<Record<Family, Map<bigint, boolean>>>;

function nothingUnlike(): Unlike {
  return { 4: new Map(), 6: new Map() };
}

/** Every address of a lease and its host. This node's own count too: nobody else can send from them. */
function addressesOf({ publicIp, publicIpv6, hostAddresses = [] }: GuardedLease): Ip[] {
  return [publicIp, publicIpv6, ...hostAddresses].filter((ip) => ip !== undefined);
}

function sameMap(a: ReadonlyMap<bigint, boolean>, b: ReadonlyMap<bigint, boolean>): boolean {
  return a.size === b.size && [...a].every(([value, isThere]) => b.get(value) === isThere);
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
