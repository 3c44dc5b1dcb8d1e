// Reads leases as WireGuard peers, as a pure function: each peer's key, its address, and the pods behind it. Leases are claims of
// strangers, and the kernel moves a prefix to whichever peer names it last, so this file decides what a node may claim.

import type { Endpoint } from '../../../lib/genetlink/wireguard.ts';
import { contains, type Family, type Ip, type IpPrefix } from '../../../lib/ip.ts';
import { field, isJsonObject, type JsonValue } from '../../../lib/json.ts';
import type { Plan, PlannedPeer } from '../../dataplane/plan.ts';
import type { PeerProblem } from '../../health/peer-problem.ts';
import type { Lease, LeaseSnapshot } from '../../subnet/manager.ts';
import { familyOf, type NodeConfig, PeerError } from '../lease-fields.ts';
import { movedLeases } from '../moving/moved-lease.ts';
import { plannerOf } from '../plan-once.ts';
import { type RoutePeer, routePeers } from '../route-peer.ts';
import { WIREGUARD_TYPE, type WireguardMode } from './wireguard-conf.ts';
import { keyText, parseKey } from './wireguard-key.ts';

/** Another node behind a WireGuard device. */
export interface WireguardPlannedPeer extends PlannedPeer {
  readonly key: string;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly endpoint: Endpoint;
  readonly allowedIps: readonly IpPrefix[];
}

export interface WireguardPeersConfig {
  readonly mode: WireguardMode;
  /** This node's settings for each family that the device carries. */
  readonly families: readonly NodeConfig[];
  readonly ownKey: Uint8Array;
  /** This node's ports, used for a lease that names none. */
  readonly ports: Readonly<Record<Family, number>>;
}

/** Returns a function that makes plans of the peers; it returns the same plan for the same leases. */
export function wireguardPlanner(
  config: WireguardPeersConfig,
): (snapshot: LeaseSnapshot) => Plan<WireguardPlannedPeer> {
  return plannerOf((snapshot) => wireguardPeers(snapshot, config));
}

/**
 * The peers in a snapshot, including nodes that are moving here from another backend. If two leases have the same key, the older one is the
 * peer.
 */
export function wireguardPeers(
  given: LeaseSnapshot,
  config: WireguardPeersConfig,
): { readonly peers: readonly WireguardPlannedPeer[]; readonly problems: readonly PeerProblem[] } {
  const snapshot = { ...given, leases: movedLeases(given.leases) };
  const problems: PeerProblem[] = [];
  const peers: WireguardPlannedPeer[] = [];
  const owners = new Map([[keyText(config.ownKey), 'this node']]);
  for (const [key, routes] of routesByLease(snapshot, config, problems)) {
    const lease = snapshot.leases.get(key);
    if (lease === undefined) continue;
    try {
      const peer = readPeer(key, lease, routes, config);
      const text = keyText(peer.publicKey);
      const owner = owners.get(text);
      if (owner !== undefined) throw new PeerError(`has the same WireGuard key as ${owner}`);
      owners.set(text, key);
      peers.push(peer);
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      problems.push({ key, reason: error.message });
    }
  }
  problems.sort((a, b) => (a.key < b.key ? -1 : 1));
  return { peers, problems };
}

/** The checked subnet and public IP of each lease in each family, oldest lease first. */
function routesByLease(
  snapshot: LeaseSnapshot,
  { families }: WireguardPeersConfig,
  problems: PeerProblem[],
): Map<string, RoutePeer[]> {
  const byKey = new Map<string, RoutePeer[]>();
  const seen = new Set<string>();
  for (const family of families) {
    const found = routePeers(snapshot, { ...family, types: [WIREGUARD_TYPE] });
    for (const peer of found.peers) byKey.set(peer.key, [...(byKey.get(peer.key) ?? []), peer]);
    for (const problem of found.problems) {
      const text = `${problem.key} ${problem.reason}`;
      if (!seen.has(text)) problems.push(problem);
      seen.add(text);
    }
  }
  return byKey;
}

function readPeer(
  key: string,
  lease: Lease,
  routes: readonly RoutePeer[],
  config: WireguardPeersConfig,
): WireguardPlannedPeer {
  const data = { 4: familyOf(lease, 4).backendData, 6: familyOf(lease, 6).backendData };
  const ofDevice = routes.map(({ subnet }) => data[subnet.ip.family]).find((one) => one !== undefined && one !== null);
  return {
    key,
    publicKey: readPublicKey(ofDevice),
    endpoint: endpointOf(routes, data, config),
    allowedIps: routes.map(({ subnet }) => subnet),
  };
}

function readPublicKey(data: JsonValue | undefined): Uint8Array {
  const text = data !== undefined && isJsonObject(data) ? field(data, 'PublicKey') : undefined;
  if (text === undefined) throw new PeerError('has no WireGuard key: BackendData names no PublicKey');
  const key = typeof text === 'string' ? parseKey(text) : undefined;
  if (key === undefined) throw new PeerError('has no valid WireGuard key: PublicKey is not 32 bytes in base64');
  return key;
}

type BackendDataByFamily = Readonly<Record<Family, JsonValue | undefined>>;

function endpointOf(
  routes: readonly RoutePeer[],
  data: BackendDataByFamily,
  { mode, ports, families }: WireguardPeersConfig,
): Endpoint {
  const [v4, v6] = [4, 6].map((family) => routes.find(({ subnet }) => subnet.ip.family === family)?.publicIp);
  if (mode === 'separate') {
    const ip = v4 ?? v6;
    if (ip === undefined) throw new PeerError('has no public IP');
    return { ip, port: readPort(data[ip.family]) ?? ports[ip.family] };
  }
  const chosen = chooseFamily(mode, v4, v6, families);
  if (chosen === undefined) throw new PeerError(`has no public IPv${mode === 'ipv6' ? 6 : 4} address`);
  // One device has one port. In these modes flannel's agent listens on ListenPort, but names ListenPortV6 in its IPv6 data.
  return { ip: chosen, port: readPort(data[4]) ?? readPort(data[6]) ?? ports[4] };
}

/** In mode `auto` as in flannel: public IPv4 if both ends have it, else public IPv6 if both have it, else IPv4. */
function chooseFamily(
  mode: WireguardMode,
  v4: Ip | undefined,
  v6: Ip | undefined,
  families: readonly NodeConfig[],
): Ip | undefined {
  if (mode === 'ipv4') return v4;
  if (mode === 'ipv6') return v6;
  if (v6 === undefined || v4 === undefined) return v4 ?? v6;
  const own = (family: Family): Ip | undefined => families.find((one) => one.family === family)?.publicIp;
  const [own4, own6] = [own(4), own(6)];
  if (own4 !== undefined && !isPrivate(v4)) return v4;
  return own6 !== undefined && !isPrivate(v6) && !isPrivate(own6) ? v6 : v4;
}

/** RFC 1918 and RFC 4193. As with flannel, 100.64.0.0/10 counts as public. */
const PRIVATE: readonly IpPrefix[] = [
  { ip: { family: 4, value: 0x0a00_0000n }, length: 8 },
  { ip: { family: 4, value: 0xac10_0000n }, length: 12 },
  { ip: { family: 4, value: 0xc0a8_0000n }, length: 16 },
  { ip: { family: 6, value: 0xfcn << 120n }, length: 7 },
];

function isPrivate(ip: Ip): boolean {
  return PRIVATE.some((prefix) => prefix.ip.family === ip.family && contains(prefix, ip));
}

/** The port in a lease; undefined when it has none, as before flannel had the field. Throws PeerError. */
function readPort(data: JsonValue | undefined): number | undefined {
  if (data === undefined || !isJsonObject(data)) return undefined;
  const port = field(data, 'Port');
  if (port === undefined || port === null || port === 0) return undefined;
  if (typeof port === 'number' && Number.isInteger(port) && port > 0 && port <= 65_535) return port;
  throw new PeerError('has no valid port: BackendData.Port is not an integer 1–65535');
}
