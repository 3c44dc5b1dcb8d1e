// The guard's report, read from the kernel whenever somebody asks: sums, and at most 64 strangers of each family. A stranger whose
// packets have the MAC of a peer's VTEP inside is that peer behind another address, or pretends to be.

import { errorText } from '../../lib/errors.ts';
import { type Family, formatIp, ipFromBytes } from '../../lib/ip.ts';
import { field, isJsonObject } from '../../lib/json.ts';
import { macFromBytes } from '../../lib/mac.ts';
import { listCounted, listCounters } from '../../lib/netfilter/counters.ts';
import type { Table } from '../../lib/netfilter/nftables.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { GuardMode, GuardStatus, Stranger } from '../health/status/report.ts';
import type { GuardedLease } from './peer-sets.ts';
import { CLAIMS, COUNTERS, STRANGER_KEPT_SEC, STRANGERS, STRANGERS_KEPT } from './tunnel-rules.ts';

export interface GuardSource {
  readonly netlink: Netlink;
  readonly table: Table;
  readonly mode: GuardMode;
  readonly seesMacs: boolean;
  readonly leases: ReadonlyMap<string, GuardedLease>;
  readonly watchedSinceMs: number;
  readonly nowMs: number;
}

const FAMILIES = [4, 6] as const;
const DAY_MS = STRANGER_KEPT_SEC * 1000;

/** Reads the report; if that fails, the report says why. */
export function guardReport(source: GuardSource): GuardStatus {
  const { mode, watchedSinceMs } = source;
  const none = { strangers: 0, pods: 0, refused: 0 };
  const common = { mode, watchedSince: iso(watchedSinceMs) };
  try {
    const counters = listCounters(source.netlink, source.table);
    const of = (name: keyof typeof none): number => counters.get(COUNTERS[name]) ?? 0;
    const ofArp = listCounters(source.netlink, { ...source.table, family: 'arp' }).get(COUNTERS.refused) ?? 0;
    const packets = { strangers: of('strangers'), pods: of('pods'), refused: of('refused') + ofArp };
    if (mode === 'off') return { ...common, packets, strangers: [], isFull: false };
    return { ...common, packets, ...strangersOf(source) };
  } catch (error) {
    return { ...common, problem: errorText(error), packets: none, strangers: [], isFull: false };
  }
}

function strangersOf(source: GuardSource): Pick<GuardStatus, 'strangers' | 'isFull' | 'wouldCut'> {
  const seen = FAMILIES.map((family) => strangersIn(family, source));
  const claims = source.seesMacs ? FAMILIES.map((family) => claimsIn(family, source)) : [];
  const isFull = [...seen, ...claims].some(({ length }) => length >= STRANGERS_KEPT);
  const strangers = seen.flat();
  const byMac = strangers.length === 0 ? new Map<string, Stranger['peer']>() : peersByMac(source.leases);
  const named = strangers.map((stranger): Stranger => {
    const own = claims.flat().filter(({ address }) => address === stranger.address);
    const peer = own.map(({ mac }) => byMac.get(mac)).find((found) => found !== undefined);
    return peer === undefined ? stranger : { ...stranger, peer };
  });
  // If a set is full, later strangers are missing. Without MACs a stranger cannot be matched with a peer. Then the list is unknown.
  const isTold = !isFull && (source.seesMacs || strangers.length === 0);
  const cut = [...new Set(named.flatMap(({ peer }) => (peer === undefined ? [] : [peer.key])))];
  return { strangers: named, isFull, ...(isTold && { wouldCut: cut }) };
}

const bytesOf = (family: Family): number => (family === 4 ? 4 : 16);

function strangersIn(family: Family, { netlink, table, nowMs }: GuardSource): Stranger[] {
  return listCounted(netlink, { table, set: STRANGERS[family] })
    .filter(({ key }) => key.length === bytesOf(family))
    .map(({ key, packets, leftMs }) => {
      return { address: formatIp(ipFromBytes(key)), packets, since: iso(nowMs - (DAY_MS - leftMs)) };
    });
}

/** The inner source MACs seen in the packets of each address. */
function claimsIn(family: Family, { netlink, table }: GuardSource): { address: string; mac: string }[] {
  const bytes = bytesOf(family);
  return listCounted(netlink, { table, set: CLAIMS[family] })
    .filter(({ key }) => key.length >= bytes + 6)
    .map(({ key }) => {
      const address = formatIp(ipFromBytes(key.subarray(0, bytes)));
      return { address, mac: macFromBytes(key.subarray(bytes, bytes + 6)) };
    });
}

/** The peers by VTEP MAC; a peer has one MAC for each family. */
function peersByMac(leases: ReadonlyMap<string, GuardedLease>): Map<string, Stranger['peer']> {
  const found = new Map<string, Stranger['peer']>();
  for (const [key, lease] of leases) {
    for (const family of FAMILIES) {
      const mac = vtepMacOf(family, lease);
      const ip = family === 4 ? lease.publicIp : lease.publicIpv6;
      if (mac !== undefined && !found.has(mac))
        found.set(mac, { key, publishes: ip === undefined ? '' : formatIp(ip) });
    }
  }
  return found;
}

function vtepMacOf(family: Family, { backendData, backendV6Data }: GuardedLease): string | undefined {
  const data = family === 4 ? backendData : backendV6Data;
  const mac = isJsonObject(data) ? field(data, 'VtepMAC') : undefined;
  return typeof mac === 'string' ? mac.toLowerCase() : undefined;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
