// Reads all that decides which pods and peers of a node may have a fast path: the bridge and its ports, the runtime's cached results of the
// pods, the peers' routes and neighbours as the overlay has programmed them, and programs or filters of others at the devices.

import type { Family, IpPrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { type CachedResult, listCachedResults } from '../../lib/pods/cached-result.ts';
import { type FdbEntry, listFdb } from '../../lib/rtnetlink/fdb.ts';
import { type Link, listLinks } from '../../lib/rtnetlink/link.ts';
import { listNeighs, type Neigh } from '../../lib/rtnetlink/neigh.ts';
import { listQdiscs, type Qdisc } from '../../lib/rtnetlink/qdisc.ts';
import { listRoutes, type Route } from '../../lib/rtnetlink/route.ts';
import { RT_TABLE_LOCAL } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { readTextIfPresent } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

/** The tunnel of one family. */
export interface Tunnel {
  readonly family: Family;
  /** This node's subnet. */
  readonly subnet: IpPrefix;
  readonly ifindex: number;
  readonly dev: string;
  /** The MTU of the tunnel's device, in bytes. */
  readonly mtu: number;
}

export interface Observed {
  readonly links: readonly Link[];
  readonly qdiscs: readonly Qdisc[];
  /** All neighbours on the families' tunnels and on the bridge. */
  readonly neighs: readonly Neigh[];
  /** All routes except those to the node's own addresses. */
  readonly routes: readonly Route[];
  /** The FDB entries of the IPv4 tunnel's device. */
  readonly fdb: readonly FdbEntry[];
  /** The ttl that the kernel gives packets of the node itself; undefined when it does not say. */
  readonly ttl: number | undefined;
  readonly sourcePorts: { readonly first: number; readonly count: number } | undefined;
  /** The results of all networks. A runtime writes one when an ADD has succeeded and removes it after the DEL. */
  readonly results: readonly CachedResult[];
}

const TTL = '/proc/sys/net/ipv4/ip_default_ttl';
const SOURCE_PORTS = '/proc/sys/net/ipv4/ip_local_port_range';

/** Throws NetlinkError. */
export function observe(sys: Syscalls, netlink: Netlink, tunnels: readonly Tunnel[], resultsFolder: string): Observed {
  // The results are read first: a pod that is removed meanwhile then has a result without a device, and is left out.
  const results = [...listCachedResults(sys, resultsFolder).values()];
  return {
    results,
    ttl: readNumbers(sys, TTL)?.[0],
    sourcePorts: readSourcePorts(sys),
    fdb: tunnels.filter(({ family }) => family === 4).flatMap(({ ifindex }) => listFdb(netlink, { index: ifindex })),
    links: listLinks(netlink),
    qdiscs: listQdiscs(netlink),
    neighs: listNeighs(netlink),
    routes: tunnels.flatMap(({ family }) =>
      listRoutes(netlink, { family }).filter(({ table }) => table !== RT_TABLE_LOCAL),
    ),
  };
}

/** The range from which udp_flow_src_port() of the kernel chooses; it never takes the last port. */
function readSourcePorts(sys: Syscalls): Observed['sourcePorts'] {
  const [first, last] = readNumbers(sys, SOURCE_PORTS) ?? [];
  return first === undefined || last === undefined || last <= first ? undefined : { first, count: last - first };
}

function readNumbers(sys: Syscalls, path: string): number[] | undefined {
  const numbers = readTextIfPresent(sys, path, 64)?.trim().split(/\s+/).map(Number);
  return numbers?.every((number) => Number.isInteger(number)) === true ? numbers : undefined;
}
