// The overlay's families on this node, put together from what the agent says, its lease, the configuration and subnet.env. A pure
// function: the first source that knows a fact wins, in this order.

import { type Family, type IpPrefix, networkOf, parseIp, parsePrefix } from '../../../lib/ip.ts';
import type { Mac } from '../../../lib/mac.ts';
import type { NetConf } from '../../../lib/net-conf.ts';
import type { Link } from '../../../lib/rtnetlink/link.ts';
import type { SubnetEnv } from '../../../lib/subnet-env.ts';
import { familyOf } from '../../backend/lease-fields.ts';
import { routePeers } from '../../backend/route-peer.ts';
import { desired } from '../../backend/vxlan/desired.ts';
import { vxlanDeviceName } from '../../backend/vxlan/vxlan-device.ts';
import { readVxlanKeys, type VxlanConf } from '../../backend/vxlan/vxlan-keys.ts';
import { readBackendData } from '../../backend/vxlan/vxlan-lease.ts';
import type { PeerProblem } from '../../health/peer-problem.ts';
import type { OverlayStatus } from '../../health/status/report.ts';
import type { Lease, LeaseSnapshot } from '../../subnet/manager.ts';
import type { AgentFacts, FamilyFacts, FileFacts, PeerFacts, TunnelFacts } from './facts.ts';

export interface FamilySources {
  readonly agent: AgentFacts;
  readonly conf: NetConf | undefined;
  readonly snapshot: LeaseSnapshot | undefined;
  /** This node's lease as it was saved, where the snapshot has none. */
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
  const tunnel = tunnelOf(family, sources, overlay);
  const vtepMac = macOf(own?.backendData) ?? tunnel?.link?.mac;
  const place = { family, network, subnet, publicIp, vtepMac, tunnel };
  const { peers, problems } = peersOf(place, typeOf(sources), sources.snapshot);
  return [{ ...place, peers, problems: [...problems, ...toldOnly(overlay, peers, problems)] }];
}

/** Leases that the running agent's store refused, which are not among those it tells. */
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

/** This node's own lease, as the store or the saved state has it. */
function ownLease({ snapshot, saved }: Pick<FamilySources, 'snapshot' | 'saved'>): Lease | undefined {
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

/** The backend's type; a node that only has its subnet.env and a device of flannel's name has vxlan. */
function typeOf({ agent, conf, links }: FamilySources): string {
  const told = agent.state === 'answers' ? agent.report.backend : '';
  const isVxlan = links.some(({ name, kind }) => kind === 'vxlan' && /^flannel(-v6)?\./.test(name));
  return told || (conf?.backend.type ?? (isVxlan ? 'vxlan' : ''));
}

function tunnelOf(family: Family, sources: FamilySources, overlay: OverlayStatus | undefined): TunnelFacts | undefined {
  if (typeOf(sources) !== 'vxlan') return undefined;
  const { conf, links } = sources;
  const prefix = family === 4 ? 'flannel.' : 'flannel-v6.';
  const present = links.find(({ name, kind }) => kind === 'vxlan' && name.startsWith(prefix));
  const configured = conf && vxlanKeysIn(conf);
  const vni = overlay?.vni ?? configured?.vni ?? present?.vxlan?.vni ?? 1;
  const port = overlay?.port ?? configured?.port ?? present?.vxlan?.port ?? 8472;
  const name = vxlanDeviceName(family, vni);
  return { name, vni, port, link: links.find((link) => link.name === name) };
}

function vxlanKeysIn(conf: NetConf): VxlanConf | undefined {
  try {
    return conf.backend.type === 'vxlan' ? readVxlanKeys(conf.backend.place, conf) : undefined;
  } catch {
    return undefined; // a wrong key, which the agent reports at its start
  }
}

type Own = Pick<FamilyFacts, 'family' | 'network' | 'subnet' | 'publicIp' | 'vtepMac' | 'tunnel'>;

function peersOf(own: Own, type: string, snapshot: LeaseSnapshot | undefined): Pick<FamilyFacts, 'peers' | 'problems'> {
  const { family, network, subnet, publicIp, vtepMac: mac, tunnel } = own;
  const nothing = { peers: [], problems: [] };
  if (snapshot === undefined || subnet === undefined || publicIp === undefined) return nothing;
  const config = { family, network, subnet, publicIp };
  const problems = snapshot.problems;
  if (tunnel !== undefined && mac !== undefined) {
    const others = new Map([...snapshot.leases].filter(([key]) => key !== snapshot.ownKey));
    const plan = desired(others, { ...config, mac, vni: tunnel.vni, foreignNexthopIds: undefined });
    return { peers: plan.peers, problems: [...problems, ...plan.problems] };
  }
  // The other backends have no route to each peer.
  if (type !== 'host-gw') return nothing;
  const plan = routePeers(snapshot, { ...config, types: [type] });
  return { peers: plan.peers, problems: [...problems, ...plan.problems] };
}
