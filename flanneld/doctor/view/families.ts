// The overlay's address families on this node, from the agent's report, the node's lease, the configuration and subnet.env. A pure
// function: the first source that has a fact counts, in this order.

import { type Family, type IpPrefix, networkOf, parseIp, parsePrefix } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import type { NetConf } from '../../../lib/net-conf.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import type { SubnetEnv } from '../../../lib/subnet-env.ts';
import { familyOf } from '../../backend/lease-fields.ts';
import { movedLeases, notYetMoved } from '../../backend/moving/moved-lease.ts';
import { backendOfDevice } from '../../backend/registry.ts';
import { routePeers } from '../../backend/route-peer.ts';
import { desired } from '../../backend/vxlan/desired.ts';
import { readBackendData } from '../../backend/vxlan/vxlan-lease.ts';
import type { PeerProblem } from '../../health/peer-problem.ts';
import type { OverlayStatus } from '../../health/status/report.ts';
import type { Lease, LeaseSnapshot } from '../../subnet/manager.ts';
import type { AgentFacts, FamilyFacts, FileFacts, PeerFacts } from './facts.ts';
import { tunnelOf } from './tunnel.ts';

export interface FamilySources {
  readonly agent: AgentFacts;
  readonly conf: NetConf | undefined;
  readonly snapshot: LeaseSnapshot | undefined;
  /** This node's lease in the saved state, where `snapshot` lacks it. */
  readonly saved: Lease | undefined;
  readonly subnetEnv: FileFacts<SubnetEnv>;
  readonly links: readonly Link[];
}

export function familiesOf(sources: FamilySources): FamilyFacts[] {
  return ([4, 6] as const).flatMap((family) => familyFacts(family, sources));
}

function familyFacts(family: Family, sources: FamilySources): FamilyFacts[] {
  const overlay = overlayOf(family, sources.agent);
  const network = networkIn(family, sources, overlay);
  if (network === undefined) return [];
  const lease = ownLease(sources);
  const own = lease && familyOf(lease, family);
  const subnet = overlay === undefined ? (own?.subnet ?? subnetIn(family, sources)) : parsePrefix(overlay.subnet);
  const publicIp = own?.publicIp ?? (overlay && parseIp(overlay.publicIp));
  const tunnel = tunnelOf(typeOf(sources), family, { ...sources, overlay });
  const vtepMac = tunnel?.vni === undefined ? undefined : (macOf(own?.backendData) ?? tunnel.link?.mac);
  const place = { family, network, subnet, publicIp, vtepMac, tunnel };
  const { peers, problems } = peersOf(place, typeOf(sources), sources.snapshot);
  return [{ ...place, peers, problems: [...problems, ...toldOnly(overlay, peers, problems)] }];
}

/** Leases that the running agent's store refused, so that its list lacks them. */
function toldOnly(
  overlay: OverlayStatus | undefined,
  peers: readonly PeerFacts[],
  problems: readonly PeerProblem[],
): PeerProblem[] {
  const known = new Set([...peers, ...problems].map(({ key }) => key));
  return (overlay?.problems ?? []).filter(({ key }) => !known.has(key));
}

function overlayOf(wanted: Family, agent: AgentFacts): OverlayStatus | undefined {
  return agent.state === 'answers' ? agent.report.overlays.find(({ family }) => family === wanted) : undefined;
}

function networkIn(family: Family, { conf, subnetEnv }: FamilySources, overlay: OverlayStatus | undefined) {
  if (overlay !== undefined) return parsePrefix(overlay.network);
  const configured = family === 4 ? conf?.network : conf?.ipv6Network;
  if (configured !== undefined || conf !== undefined || subnetEnv.state !== 'right') return configured;
  return (family === 4 ? subnetEnv.value.networks : subnetEnv.value.ipv6Networks)[0];
}

function subnetIn(family: Family, { subnetEnv }: FamilySources): IpPrefix | undefined {
  if (subnetEnv.state !== 'right') return undefined;
  const { subnet, ipv6Subnet } = subnetEnv.value;
  const written = family === 4 ? subnet : ipv6Subnet;
  return written && networkOf(written);
}

/** This node's own lease, from the store or the saved state. */
export function ownLease({ snapshot, saved }: Pick<FamilySources, 'snapshot' | 'saved'>): Lease | undefined {
  const { ownKey } = snapshot ?? {};
  return (ownKey === undefined ? undefined : snapshot?.leases.get(ownKey)) ?? saved;
}

function macOf(data: Lease['backendData']): Mac | undefined {
  try {
    return data === undefined ? undefined : readBackendData(data).mac;
  } catch {
    return undefined;
  }
}

/** The backend's type. A node without an agent and without a configuration has the type of its tunnel device. */
function typeOf({ agent, conf, links }: FamilySources): string {
  const told = agent.state === 'answers' ? agent.report.backend : '';
  const present = links.map(backendOfDevice).find((backend) => backend !== undefined);
  return told || (conf?.backend.type ?? present?.type ?? '');
}

type Own = Pick<FamilyFacts, 'family' | 'network' | 'subnet' | 'publicIp' | 'vtepMac' | 'tunnel'>;

function peersOf(own: Own, type: string, snapshot: LeaseSnapshot | undefined): Pick<FamilyFacts, 'peers' | 'problems'> {
  const { family, network, subnet, publicIp, vtepMac: mac, tunnel } = own;
  const nothing = { peers: [], problems: [] };
  if (snapshot === undefined || subnet === undefined || publicIp === undefined) return nothing;
  const config = { family, network, subnet, publicIp };
  const problems = snapshot.problems;
  if (tunnel?.vni !== undefined) {
    if (mac === undefined) return nothing;
    const { leases, ownKey = '' } = snapshot;
    const isMoving = leases.get(ownKey)?.moveData !== undefined;
    const others = new Map([...(isMoving ? notYetMoved(leases) : leases)].filter(([key]) => key !== ownKey));
    const plan = desired(others, { ...config, mac, vni: tunnel.vni, foreignNexthopIds: undefined });
    return { peers: plan.peers, problems: [...problems, ...plan.problems] };
  }
  // With other backends a peer has no objects in the kernel.
  if (tunnel === undefined && type !== 'host-gw') return nothing;
  const leases = tunnel?.hasKeys === true ? movedLeases(snapshot.leases) : snapshot.leases;
  const plan = routePeers({ ...snapshot, leases }, { ...config, types: [type] });
  return { peers: plan.peers, problems: [...problems, ...plan.problems] };
}
