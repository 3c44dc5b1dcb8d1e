// Reads leases as peers without a VTEP, which are reached by their public IP alone (host-gw, udp), as strictly as for VXLAN.

import { formatPrefix, type Ip, type IpPrefix, sameIp, samePrefix } from '../../lib/ip.ts';
import { showJson } from '../../lib/json-fields.ts';
import type { Plan } from '../dataplane/plan.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { Lease, LeaseSnapshot } from '../subnet/manager.ts';
import { inOrderOfCreation } from '../subnet/precedence.ts';
import { checkPublicIp, checkSubnet, familyOf, type NodeConfig, PeerError } from './lease-fields.ts';
import { plannerOf } from './plan-once.ts';
import { SubnetIndex } from './subnet-index.ts';

/** Another node; both addresses are of the overlay's family. */
export interface RoutePeer {
  readonly key: string;
  readonly subnet: IpPrefix;
  readonly publicIp: Ip;
}

export interface RoutePeerConfig extends NodeConfig {
  /** The backend types whose leases are peers. */
  readonly types: readonly string[];
}

export interface RoutePeers {
  readonly peers: readonly RoutePeer[];
  readonly problems: readonly PeerProblem[];
}

/** The peers in a snapshot, without this node's own lease. The result does not depend on the order of the leases. */
export function routePeers({ leases, ownKey }: LeaseSnapshot, config: RoutePeerConfig): RoutePeers {
  const problems: PeerProblem[] = [];
  const candidates: RoutePeer[] = [];
  for (const { key, lease } of inOrderOfCreation(leases)) {
    if (key === ownKey) continue;
    try {
      const peer = readRoutePeer(key, lease, config);
      if (peer !== undefined) candidates.push(peer);
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      problems.push({ key, reason: error.message });
    }
  }
  const subnets = new SubnetIndex(candidates.map(({ subnet }) => subnet));
  const peers: RoutePeer[] = [];
  for (const peer of candidates) {
    const other = subnets.findOverlap(peer.subnet);
    if (other === undefined) {
      subnets.add(peer.subnet, peer.key);
      peers.push(peer);
    } else problems.push({ key: peer.key, reason: `subnet ${formatPrefix(peer.subnet)} overlaps that of ${other}` });
  }
  problems.sort((a, b) => (a.key < b.key ? -1 : 1));
  return { peers, problems };
}

/** One lease as a peer; undefined for this node's own and for one without the family. Throws PeerError. */
export function readRoutePeer(key: string, lease: Lease, config: RoutePeerConfig): RoutePeer | undefined {
  const { subnet, publicIp } = familyOf(lease, config.family);
  if (subnet === undefined) return undefined;
  if (samePrefix(subnet, config.subnet) && publicIp !== undefined && sameIp(publicIp, config.publicIp))
    return undefined;
  if (!config.types.includes(lease.backendType)) {
    const [type] = config.types;
    throw new PeerError(`backend type is ${showJson(lease.backendType)}, not ${type === '' ? showJson(type) : type}`);
  }
  checkSubnet(subnet, config);
  return { key, subnet, publicIp: checkPublicIp(publicIp, config) };
}

/** Returns a function that makes plans of such peers; it returns the same plan for the same leases. */
export function routePlanner(config: RoutePeerConfig): (snapshot: LeaseSnapshot) => Plan<RoutePeer> {
  return plannerOf((snapshot) => routePeers(snapshot, config));
}
