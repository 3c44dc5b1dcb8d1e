// What on a bridge shows that a pod is alive, whatever the files say: its ports, FDB and neighbour entries.

import { formatIp, type Ip } from '../ip.ts';
import { type Netlink, openNetlink } from '../netlink/connection.ts';
import { NUD_FAILED, NUD_INCOMPLETE, NUD_STALE } from '../rtnetlink/constants.ts';
import { listFdb } from '../rtnetlink/fdb.ts';
import { getLink, listLinks } from '../rtnetlink/link.ts';
import { listNeighs, type Neigh } from '../rtnetlink/neigh.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import type { CachedResult } from './cached-result.ts';
import { hostMac, hostVethName, podMac } from './names.ts';

/** What a pod could be known by on the bridge. */
export interface Traits {
  readonly containerId: string;
  readonly ifname: string;
  readonly ips: readonly Ip[];
  /** What the runtime says was made for it. */
  readonly cached: CachedResult | undefined;
}

/** Names what on the bridge carries one of the traits; undefined: nothing does. */
export type SignOfLife = (traits: Traits) => string | undefined;

/** Looks at the bridge once. Nothing carries anything where there is no such bridge. Throws NetlinkError. */
export function lookForLife(sys: Syscalls, bridge: string): SignOfLife {
  const netlink = openNetlink(sys);
  try {
    const link = getLink(netlink, { name: bridge });
    if (link?.kind !== 'bridge') return () => undefined;
    const { macs, ports } = carried(netlink, link.index);
    const neighs = new Map<string, Neigh>();
    for (const neigh of listNeighs(netlink, { index: link.index })) neighs.set(formatIp(neigh.destination), neigh);
    return (traits) => {
      const port = hostNames(traits).find((name) => ports.has(name));
      if (port !== undefined) return `port ${port} is on ${bridge}`;
      const mac = macsOf(traits).find((candidate) => macs.has(candidate));
      if (mac !== undefined) return `MAC ${mac} is on ${bridge}`;
      const ip = traits.ips.map(formatIp).find((text) => answers(neighs.get(text), macs));
      return ip === undefined ? undefined : `neighbour ${ip} is on ${bridge}`;
    };
  } finally {
    netlink.close();
  }
}

function hostNames({ containerId, ifname, cached }: Traits): string[] {
  return [hostVethName(containerId, ifname), ...(cached?.hostInterfaces ?? [])];
}

function macsOf({ ips, cached }: Traits): string[] {
  return [...ips.flatMap((ip) => [podMac(ip), hostMac(ip)]), ...(cached?.podMacs ?? [])];
}

/** Names and MACs of the ports themselves, and the MACs heard behind them. */
function carried(netlink: Netlink, master: number): { macs: Set<string>; ports: Set<string> } {
  const macs = new Set<string>();
  const ports = new Set<string>();
  for (const port of listLinks(netlink, { master })) {
    ports.add(port.name);
    if (port.mac !== undefined) macs.add(port.mac);
    for (const entry of listFdb(netlink, { index: port.index })) macs.add(entry.mac);
  }
  return { macs, ports };
}

/** A stale entry outlives its pod by any time; it counts only while its MAC is there. */
function answers(neigh: Neigh | undefined, macs: ReadonlySet<string>): boolean {
  if (neigh === undefined || (neigh.state & (NUD_FAILED | NUD_INCOMPLETE)) !== 0) return false;
  if ((neigh.state & NUD_STALE) === 0) return true;
  return neigh.mac !== undefined && macs.has(neigh.mac);
}
