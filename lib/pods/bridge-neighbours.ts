// Whether an address is in use on a bridge, whatever the files say: its ports, FDB and neighbour entries.

import { formatIp, type Ip } from '../ip.ts';
import { type Netlink, openNetlink } from '../netlink/connection.ts';
import { NUD_FAILED, NUD_INCOMPLETE, NUD_STALE } from '../rtnetlink/constants.ts';
import { listFdb } from '../rtnetlink/fdb.ts';
import { getLink, listLinks } from '../rtnetlink/link.ts';
import { listNeighs, type Neigh } from '../rtnetlink/neigh.ts';
import type { Syscalls } from '../sys/syscalls.ts';
import { hostMac, podMac } from './names.ts';

/** Tells whether anything on the bridge carries an address; nothing does where there is no such bridge. */
export function liveAddressTest(sys: Syscalls, bridge: string): (ip: Ip) => boolean {
  const netlink = openNetlink(sys);
  try {
    const link = getLink(netlink, { name: bridge });
    if (link?.kind !== 'bridge') return () => false;
    const macs = carriedMacs(netlink, link.index);
    const neighs = new Map<string, Neigh>();
    for (const neigh of listNeighs(netlink, { index: link.index })) neighs.set(formatIp(neigh.destination), neigh);
    return (ip) => macs.has(podMac(ip)) || macs.has(hostMac(ip)) || answers(neighs.get(formatIp(ip)), macs);
  } finally {
    netlink.close();
  }
}

/** MACs of the ports themselves, and of what was heard behind them. */
function carriedMacs(netlink: Netlink, master: number): Set<string> {
  const macs = new Set<string>();
  for (const port of listLinks(netlink, { master })) {
    if (port.mac !== undefined) macs.add(port.mac);
    for (const entry of listFdb(netlink, { index: port.index })) macs.add(entry.mac);
  }
  return macs;
}

/** A stale entry outlives its pod by any time; it counts only while its MAC is there. */
function answers(neigh: Neigh | undefined, macs: ReadonlySet<string>): boolean {
  if (neigh === undefined || (neigh.state & (NUD_FAILED | NUD_INCOMPLETE)) !== 0) return false;
  if ((neigh.state & NUD_STALE) === 0) return true;
  return neigh.mac !== undefined && macs.has(neigh.mac);
}
