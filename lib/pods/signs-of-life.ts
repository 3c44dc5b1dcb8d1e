// Finds signs on a node that a pod is alive, whatever the files say: its port, and FDB entries and neighbours of the bridge.

import { formatIp, type Ip } from '../ip.ts';
import type { Netlink } from '../netlink/connection.ts';
import { listFdb } from '../rtnetlink/fdb.ts';
import { getLink, listLinks } from '../rtnetlink/link.ts';
import { listNeighs, type Neigh } from '../rtnetlink/neigh.ts';
import { NUD_FAILED, NUD_INCOMPLETE, NUD_STALE } from '../rtnetlink/rtnetlink-constants.ts';
import { hostMac, podMac } from './names.ts';
import type { NodeView } from './node-view.ts';
import type { Known } from './unexplained.ts';

/** The properties by which a pod can be recognized. */
export interface Traits extends Known {
  readonly ips: readonly Ip[];
}

/** What the kernel knows about senders of packets on a bridge. */
export interface Traces {
  /** The MACs of the bridge's ports, and those learned behind them. */
  readonly macs: ReadonlySet<string>;
  readonly neighs: readonly Neigh[];
}

/** Empty when the bridge does not exist. Throws NetlinkError. */
export function readTraces(netlink: Netlink, bridge: string): Traces {
  const link = getLink(netlink, { name: bridge });
  if (link?.kind !== 'bridge') return { macs: new Set(), neighs: [] };
  return { macs: carriedMacs(netlink, link.index), neighs: listNeighs(netlink, { index: link.index }) };
}

/** Returns the name of something on the node that has one of the pod's traits; undefined when nothing has. */
export type SignOfLife = (traits: Traits) => string | undefined;

/** Pure. */
export function signsOfLife(bridge: string, { ports }: NodeView, traces: Traces): SignOfLife {
  const names = new Set(ports.map(({ name }) => name));
  const macs = new Set([...traces.macs, ...ports.flatMap(({ mac }) => mac ?? [])]);
  const neighs = new Map(traces.neighs.map((neigh) => [formatIp(neigh.destination), neigh]));
  return (traits) => {
    const port = traits.ports.find((name) => names.has(name));
    if (port !== undefined) return `its port ${port} is there`;
    const mac = macsOf(traits).find((candidate) => macs.has(candidate));
    if (mac !== undefined) return `MAC ${mac} is on ${bridge}`;
    const ip = traits.ips.map(formatIp).find((text) => answers(neighs.get(text), macs));
    return ip === undefined ? undefined : `neighbour ${ip} is on ${bridge}`;
  };
}

function macsOf({ ips, cached }: Traits): string[] {
  return [...ips.flatMap((ip) => [podMac(ip), hostMac(ip)]), ...(cached?.podMacs ?? [])];
}

/** The MACs of the ports themselves, and those learned behind them. */
function carriedMacs(netlink: Netlink, master: number): Set<string> {
  const macs = new Set<string>();
  for (const port of listLinks(netlink, { master })) {
    if (port.mac !== undefined) macs.add(port.mac);
    for (const entry of listFdb(netlink, { index: port.index })) macs.add(entry.mac);
  }
  return macs;
}

/** A stale entry can stay long after its pod has ended, so it counts only while its MAC is on the bridge. */
function answers(neigh: Neigh | undefined, macs: ReadonlySet<string>): boolean {
  if (neigh === undefined || (neigh.state & (NUD_FAILED | NUD_INCOMPLETE)) !== 0) return false;
  if ((neigh.state & NUD_STALE) === 0) return true;
  return neigh.mac !== undefined && macs.has(neigh.mac);
}
