// What changes when only leases have. The kernel acknowledged every object of a peer, and an event would have told if
// somebody had changed one since: for the few peers that differ nothing need be read, however many there are.

import { sameIp, samePrefix } from '../../lib/ip.ts';
import { NTF_SELF, NUD_PERMANENT, RT_TABLE_MAIN, RTN_UNICAST, RTNH_F_ONLINK } from '../../lib/rtnetlink/constants.ts';
import type { FdbEntry } from '../../lib/rtnetlink/fdb.ts';
import type { Neigh } from '../../lib/rtnetlink/neigh.ts';
import type { Nexthop } from '../../lib/rtnetlink/nexthop.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';
import { type Device, type Observed, type PlacedPeer, WEFT_PROTOCOL } from './state.ts';

export interface Differing {
  /** As they were. */
  readonly gone: readonly PlacedPeer[];
  /** As they are to be. */
  readonly come: readonly PlacedPeer[];
}

/** The peers, by key, that are not the same before and after. */
export function differingPeers(
  before: ReadonlyMap<string, PlacedPeer>,
  after: ReadonlyMap<string, PlacedPeer>,
): Differing {
  const gone: PlacedPeer[] = [];
  const come: PlacedPeer[] = [];
  for (const [key, peer] of after) {
    const old = before.get(key);
    if (old === peer || (old !== undefined && samePlace(old, peer))) continue;
    if (old !== undefined) gone.push(old);
    come.push(peer);
  }
  for (const [key, peer] of before) if (!after.has(key)) gone.push(peer);
  return { gone, come };
}

function samePlace(a: PlacedPeer, b: PlacedPeer): boolean {
  if (a.mac !== b.mac || a.nexthopId !== b.nexthopId || a.hasFdb !== b.hasFdb) return false;
  return samePrefix(a.subnet, b.subnet) && sameIp(a.publicIp, b.publicIp);
}

/** What the kernel says of peers that are programmed, and of nothing else. */
export function asProgrammed(peers: readonly PlacedPeer[], device: Device): Observed {
  return {
    device,
    neighs: peers.map((peer) => neighOf(peer, device)),
    fdb: peers.filter(({ hasFdb }) => hasFdb).map((peer) => fdbOf(peer, device)),
    nexthops: peers.flatMap((peer) => nexthopOf(peer, device) ?? []),
    routes: peers.map((peer) => routeOf(peer, device)),
  };
}

function neighOf({ subnet, mac }: PlacedPeer, { index }: Device): Neigh {
  return { family: subnet.ip.family, index, destination: subnet.ip, mac, state: NUD_PERMANENT, flags: 0 };
}

function fdbOf({ mac, publicIp }: PlacedPeer, { index }: Device): FdbEntry {
  return { index, mac, destination: publicIp, state: NUD_PERMANENT, flags: NTF_SELF };
}

function nexthopOf({ subnet, nexthopId: id }: PlacedPeer, { index: oif }: Device): Nexthop | undefined {
  if (id === undefined) return undefined;
  const { family } = subnet.ip;
  return { id, family, gateway: subnet.ip, oif, protocol: WEFT_PROTOCOL, flags: RTNH_F_ONLINK };
}

function routeOf({ subnet, nexthopId }: PlacedPeer, { index: oif }: Device): Route {
  return {
    family: subnet.ip.family,
    destination: subnet,
    gateway: subnet.ip,
    oif,
    ...(nexthopId !== undefined && { nexthopId }),
    table: RT_TABLE_MAIN,
    protocol: WEFT_PROTOCOL,
    scope: 0,
    type: RTN_UNICAST,
    flags: RTNH_F_ONLINK,
  };
}
