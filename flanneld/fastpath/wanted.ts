// Decides which programs, pods and peers the fast path shall have, as a pure function of what was read. A pod or peer about which anything
// is doubtful is left out: its packets go the classic way.

import { contains, formatIp, type Ip, networkOf, parseIp } from '../../lib/ip.ts';
import { isUnicastMac, type Mac, MacError, parseMac } from '../../lib/mac.ts';
import type { CachedResult } from '../../lib/pods/cached-result.ts';
import type { Link } from '../../lib/rtnetlink/link.ts';
import type { Qdisc } from '../../lib/rtnetlink/qdisc.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';
import { IFF_UP, NUD_PERMANENT, RT_TABLE_MAIN } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { type Outer, outerAddresses, outerOf } from './encapsulation.ts';
import type { WantedLink, WantedPeer, WantedPod } from './objects.ts';
import type { Observed, Tunnel } from './observe.ts';
import type { ProgramSettings } from './programs/settings.ts';

export interface NodeFacts {
  readonly tunnels: readonly Tunnel[];
  /** The name of the pods' bridge, and of their network. */
  readonly bridge: string;
  readonly network: string;
  /** Whether programs shall encapsulate and decapsulate, or the reason why they must not at present. */
  readonly full: boolean | string;
}

export interface WantedFastPath {
  readonly settings: ProgramSettings;
  readonly links: readonly WantedLink[];
  readonly pods: readonly WantedPod[];
  readonly peers: readonly WantedPeer[];
  /** The indexes of ports that the runtime has no result for: an ADD is running, or the pod is not of this network. */
  readonly unknownPorts: readonly number[];
  /** Why programs do not encapsulate although they shall. */
  readonly notFull: string | undefined;
}

/** The states in which a neighbour's MAC is not known to be wrong: reachable, stale, delay, probe, permanent. */
const NUD_KNOWN = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;

/** Returns the reason in words when the node can have no fast path at present. */
export function wantedFastPath(observed: Observed, facts: NodeFacts): WantedFastPath | string {
  const bridge = observed.links.find(({ name, kind }) => name === facts.bridge && kind === 'bridge');
  if (bridge?.mac === undefined) return `there is no bridge ${facts.bridge} yet`;
  if ((bridge.flags & IFF_UP) === 0) return `bridge ${facts.bridge} is down`;
  if (bridge.vlanFiltering === true) return `bridge ${facts.bridge} filters VLANs`;
  const tunnels = facts.tunnels.map((tunnel) => ({ tunnel, link: tunnelLink(observed, tunnel) }));
  const missing = tunnels.find(({ link }) => link === undefined);
  if (missing !== undefined) return `${missing.tunnel.dev} is missing or down`;
  const pods = podsOf(observed, facts, bridge, bridge.mac);
  const outer = outerIn(observed, tunnels, facts);
  const isFull = typeof outer === 'object';
  const settings: ProgramSettings = new Map(
    tunnels.map(({ tunnel: { family, subnet, ifindex, mtu } }) => [
      family,
      {
        subnet: networkOf(subnet),
        tunnelIfindex: ifindex,
        ...(family === 4 && isFull && { outer: outer.settings }),
        mtu: Math.min(mtu, bridge.mtu, ...pods.mtus),
      },
    ]),
  );
  return {
    settings,
    links: [
      ...facts.tunnels.map(({ ifindex, dev }) => ({ ifindex, dev, program: 'fromTunnel' as const })),
      ...pods.links,
      ...(isFull
        ? [{ ifindex: outer.underlay.index, dev: outer.underlay.name, program: 'fromUnderlay' as const }]
        : []),
    ],
    pods: pods.pods,
    peers: tunnels.flatMap(({ tunnel, link }) => peersOf(observed, tunnel, link?.mac)),
    unknownPorts: pods.unknown,
    notFull: typeof outer === 'string' ? outer : undefined,
  };
}

/** Undefined in the mode `redirect`. */
function outerIn(
  observed: Observed,
  tunnels: readonly { readonly tunnel: Tunnel; readonly link: Link | undefined }[],
  { full }: NodeFacts,
): Outer | string | undefined {
  if (full === false) return undefined;
  const link = tunnels.find(({ tunnel }) => tunnel.family === 4)?.link;
  if (link === undefined) return 'pods have no IPv4 addresses';
  return full === true ? outerOf(observed, link) : full;
}

function tunnelLink({ links }: Observed, { ifindex }: Tunnel): Link | undefined {
  return links.find(({ index, flags, mac }) => index === ifindex && mac !== undefined && (flags & IFF_UP) !== 0);
}

interface Pods {
  readonly pods: readonly WantedPod[];
  readonly links: readonly WantedLink[];
  readonly mtus: readonly number[];
  readonly unknown: readonly number[];
}

/** A pod's device and the runtime's result for it. */
interface Attachment {
  readonly port: Link;
  readonly podMac: Mac;
  readonly ips: readonly Ip[];
}

function podsOf(observed: Observed, facts: NodeFacts, bridge: Link, bridgeMac: Mac): Pods {
  const byDevice = resultsByDevice(observed.results, facts.network);
  // A clsact hook may be ours; filters of others at it are counted elsewhere.
  const isPlain = ({ kind }: Qdisc): boolean => kind === 'noqueue' || kind === 'clsact';
  const shaped = new Set(observed.qdiscs.filter((qdisc) => !isPlain(qdisc)).map(({ index }) => index));
  const ports = observed.links.filter(({ master, kind }) => master === bridge.index && kind === 'veth');
  const attachments = ports
    .filter((port) => isPlainPort(port) && !shaped.has(port.index))
    .flatMap((port) => attachmentOf(port, byDevice.get(port.name), facts.tunnels));
  return {
    pods: podsAt(attachments, neighMacs(observed, bridge), bridgeMac),
    links: attachments.map(({ port: { index, name } }) => ({ ifindex: index, dev: name, program: 'fromPod' })),
    mtus: attachments.map(({ port }) => port.mtu),
    unknown: ports.filter(({ name }) => !byDevice.has(name)).map(({ index }) => index),
  };
}

function attachmentOf(port: Link, result: CachedResult | undefined, tunnels: readonly Tunnel[]): Attachment[] {
  const podMac = result === undefined ? undefined : macOf(result);
  const ips = result === undefined ? [] : addressesOf(result, tunnels);
  return podMac === undefined || ips.length === 0 ? [] : [{ port, podMac, ips }];
}

/** A pod is left out when another pod has the same address, or when the kernel knows the address at another MAC. */
function podsAt(attachments: readonly Attachment[], known: ReadonlyMap<string, Mac>, bridgeMac: Mac): WantedPod[] {
  const owners = new Map<string, WantedPod | undefined>();
  for (const { port, podMac, ips } of attachments) {
    for (const ip of ips) {
      const text = formatIp(ip);
      const isDoubtful = owners.has(text) || (known.get(text) ?? podMac) !== podMac;
      owners.set(text, isDoubtful ? undefined : { ip, entry: { ifindex: port.index, podMac, bridgeMac } });
    }
  }
  return [...owners.values()].filter((pod) => pod !== undefined);
}

/** The MAC at which the kernel knows each address on the bridge. */
function neighMacs({ neighs }: Observed, bridge: Link): Map<string, Mac> {
  const macs = new Map<string, Mac>();
  for (const { index, destination, mac, state } of neighs) {
    if (index === bridge.index && mac !== undefined && (state & NUD_KNOWN) !== 0) macs.set(formatIp(destination), mac);
  }
  return macs;
}

/** The results that name exactly one device on the node besides the bridge, by that device. */
function resultsByDevice(results: readonly CachedResult[], network: string): Map<string, CachedResult> {
  const byDevice = new Map<string, CachedResult>();
  for (const result of results) {
    if (result.network !== network) continue;
    for (const name of result.hostInterfaces) byDevice.set(name, result);
  }
  return byDevice;
}

function isPlainPort({ flags, port }: Link): boolean {
  return (flags & IFF_UP) !== 0 && port?.isolated !== true;
}

function macOf({ podMacs }: CachedResult): Mac | undefined {
  const [text, second] = podMacs;
  if (text === undefined || second !== undefined) return undefined;
  try {
    const mac = parseMac(text);
    return isUnicastMac(mac) ? mac : undefined;
  } catch (error) {
    if (error instanceof MacError) return undefined;
    throw error;
  }
}

function addressesOf({ ips }: CachedResult, tunnels: readonly Tunnel[]): Ip[] {
  return ips
    .map((text) => parseIp(text))
    .filter((ip) => tunnels.some(({ family, subnet }) => family === ip.family && contains(subnet, ip)));
}

/**
 * The peers as the kernel forwards to them: the peer's subnet has a route that leaves by the tunnel, over a gateway that is a permanent
 * neighbour. A peer is left out when it has another route to its subnet or to a part of it, or when its subnet has another length.
 */
function peersOf(observed: Observed, tunnel: Tunnel, ownMac: Mac | undefined): WantedPeer[] {
  const { family, subnet, ifindex } = tunnel;
  if (ownMac === undefined) return [];
  const macs = gatewayMacs(observed, tunnel);
  const outers = outerAddresses(observed.fdb, ifindex);
  const peers = new Map<string, WantedPeer | undefined>([[formatIp(networkOf(subnet).ip), undefined]]);
  for (const route of observed.routes) {
    if (route.family !== family || route.destination.length < subnet.length) continue;
    const { ip } = networkOf({ ip: route.destination.ip, length: subnet.length });
    const text = formatIp(ip);
    const peerMac = isWholeSubnet(route, tunnel) && !peers.has(text) ? macs.get(formatIp(route.gateway)) : undefined;
    peers.set(text, peerMac && { ip, entry: { peerMac, ownMac, ...outerEntry(outers.get(peerMac)) } });
  }
  return [...peers.values()].filter((peer) => peer !== undefined);
}

const outerEntry = (outer: Ip | undefined): { readonly outer?: Ip } => (outer === undefined ? {} : { outer });

function gatewayMacs({ neighs }: Observed, { ifindex }: Tunnel): ReadonlyMap<string, Mac> {
  const macs = new Map<string, Mac>();
  for (const { index, state, destination, mac } of neighs) {
    if (index === ifindex && state === NUD_PERMANENT && mac !== undefined) macs.set(formatIp(destination), mac);
  }
  return macs;
}

function isWholeSubnet(route: Route, { subnet, ifindex }: Tunnel): route is Route & { readonly gateway: Ip } {
  const { destination, table, hops, oif, gateway } = route;
  const isOne = destination.length === subnet.length && table === RT_TABLE_MAIN && hops === undefined;
  return isOne && oif === ifindex && gateway !== undefined;
}
