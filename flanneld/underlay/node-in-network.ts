// Finds what the node itself needs inside the cluster's network: an address of its own, a gateway, a DNS server, a Service. If there is
// any, the network gets no unreachable route, because the node would cut itself off.

import {
  contains,
  type Family,
  formatIp,
  formatPrefix,
  type Ip,
  type IpPrefix,
  isLinkLocal,
  parseIp,
} from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { type Address, listAddresses } from '../../lib/rtnetlink/address.ts';
import { listLinks } from '../../lib/rtnetlink/link.ts';
import { listRoutes, type Route } from '../../lib/rtnetlink/route.ts';
import { readTextIfPresent } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';

/** One family of this node. */
export interface FamilyInNetwork {
  readonly network: IpPrefix;
  /** This node's own subnet. It does not count, because cni0 has its address and a more specific route there. */
  readonly subnet: IpPrefix;
  /** Index of the overlay's device. It does not count: the agent made every address and route on it. */
  readonly deviceIndex: number | undefined;
}

/** What was read about this node, once for all families. */
export interface NodeFacts {
  readonly addresses: readonly Address[];
  /** Routes by interfaces that have an address and do not carry the overlay. */
  readonly routes: readonly Route[];
  /** Name servers and Service addresses, each with where it was found. */
  readonly others: readonly { readonly ip: Ip; readonly what: string }[];
  nameOf(index: number): string;
}

export interface FactSources {
  readonly netlink: Netlink;
  readonly sys: Syscalls;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `--kube-api-url`. */
  readonly apiUrl: string | undefined;
}

/** With systemd-resolved the first file names only its local stub; the second one has the real servers. */
const RESOLV_CONFS = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'] as const;
const MAX_BYTES = 64 * 1024;

/** A family, and the index of the device that carries the overlay of it. */
export interface FamilyDevice {
  readonly family: Family;
  readonly deviceIndex: number | undefined;
}

/** Throws NetlinkError. */
export function readNodeFacts(
  { netlink, sys, env, apiUrl }: FactSources,
  families: readonly FamilyDevice[],
): NodeFacts {
  const addresses = families
    .flatMap(({ family }) => listAddresses(netlink, { family }))
    .filter(({ ip }) => !isLinkLocal(ip));
  const links = listLinks(netlink);
  const pairs = new Map(addresses.map(({ index, ip: { family } }) => [`${index} ${family}`, { oif: index, family }]));
  // The routes on it lead to peers, and there may be thousands.
  for (const { deviceIndex, family } of families) pairs.delete(`${deviceIndex} ${family}`);
  return {
    addresses,
    routes: [...pairs.values()].flatMap((filter) => listRoutes(netlink, filter)),
    others: [...nameServers(sys), ...serviceAddresses(env), ...apiServer(apiUrl)],
    nameOf: (wanted) => links.find(({ index }) => index === wanted)?.name ?? `interface ${wanted}`,
  };
}

/** What lies in the network, each as a few words: `gateway 10.244.0.1 of eth0`. */
export function findInNetwork(family: FamilyInNetwork, { addresses, routes, others, nameOf }: NodeFacts): string[] {
  const { network, subnet, deviceIndex } = family;
  const isIn = (ip: Ip): boolean => contains(network, ip);
  const own = addresses
    .filter(({ ip, index }) => isIn(ip) && !contains(subnet, ip) && index !== deviceIndex)
    .map(({ ip, index }) => `address ${formatIp(ip)} of ${nameOf(index)}`);
  const gateways = routes.flatMap(({ gateway, oif }) =>
    gateway !== undefined && isIn(gateway) && oif !== deviceIndex && oif !== undefined
      ? [`gateway ${formatIp(gateway)} of ${nameOf(oif)}`]
      : [],
  );
  const named = others.filter(({ ip }) => isIn(ip)).map(({ ip, what }) => `${what.replace('%', formatIp(ip))}`);
  return [...new Set([...own, ...gateways, ...named])];
}

/** The line for /readyz?verbose and `status`. */
export function inNetworkProblem(network: IpPrefix, found: readonly string[]): string {
  const shown = found.slice(0, 4).join(', ');
  const more = found.length > 4 ? ` and ${found.length - 4} more` : '';
  return (
    `no unreachable route for ${formatPrefix(network)}, because this node needs ${shown}${more} in it: packets to pod ` +
    'addresses that no node has leave by the default route. Give the network a range of its own, or say ' +
    '--ip-unreachable-route=false'
  );
}

function nameServers(sys: Syscalls): NodeFacts['others'] {
  return RESOLV_CONFS.flatMap((path) =>
    nameServersIn(textOf(sys, path)).map((ip) => ({ ip, what: `DNS server % (${path})` })),
  );
}

/** resolv.conf(5). */
export function nameServersIn(text: string): Ip[] {
  const lines = text.split('\n').map((line) => /^nameserver[ \t]+([0-9A-Fa-f:.]+)/.exec(line)?.[1]);
  return lines.flatMap((word) => ipsIn(word));
}

function textOf(sys: Syscalls, path: string): string {
  try {
    return readTextIfPresent(sys, path, MAX_BYTES) ?? '';
  } catch {
    return ''; // an unreadable file counts as one without name servers
  }
}

/** kubelet sets such variables in every container, for the Services of its namespace and always for `kubernetes`. */
function serviceAddresses(env: FactSources['env']): NodeFacts['others'] {
  return Object.entries(env).flatMap(([name, value]) =>
    name.endsWith('_SERVICE_HOST') ? ipsIn(value).map((ip) => ({ ip, what: `Service % (${name})` })) : [],
  );
}

function apiServer(url: string | undefined): NodeFacts['others'] {
  const host = url === undefined || !URL.canParse(url) ? undefined : new URL(url).hostname.replace(/^\[|\]$/g, '');
  return ipsIn(host).map((ip) => ({ ip, what: 'API server %' }));
}

/** Returns no address when the text is not one. */
function ipsIn(text: string | undefined): Ip[] {
  try {
    return text === undefined ? [] : [parseIp(text)];
  } catch {
    return [];
  }
}
