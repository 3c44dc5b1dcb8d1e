// What the leases say: conflicts between two of them, and peers with another configuration. This needs no packets.

import { containsPrefix, formatIp, formatPrefix, overlaps, sameIp, samePrefix } from '../../../lib/ip.ts';
import { field, isJsonObject } from '../../../lib/json.ts';
import { familyOf } from '../../backend/lease-fields.ts';
import { readBackendData } from '../../backend/vxlan/vxlan-lease.ts';
import type { Lease } from '../../subnet/manager.ts';
import { inOrderOfCreation } from '../../subnet/precedence.ts';
import type { FindingId } from '../catalog.ts';
import { type Draft, run } from '../draft.ts';
import type { FamilyFacts } from '../view/facts.ts';
import type { View } from '../view/view.ts';

/** What one lease claims in one family. */
interface Claim {
  readonly key: string;
  readonly isOwn: boolean;
  readonly type: string;
  readonly subnet: FamilyFacts['subnet'];
  readonly publicIp: FamilyFacts['publicIp'];
  readonly mac: string | undefined;
  readonly vni: number | undefined;
}

export function checkLeases(view: View): Draft[] {
  const { leases, families } = view;
  if (leases === undefined) return [];
  const { snapshot } = leases;
  const drafts = families.flatMap((facts) => {
    const claims = inOrderOfCreation(snapshot.leases).map(({ key, lease }) =>
      claimOf(key, lease, facts, key === snapshot.ownKey),
    );
    const found = [
      ...ownAddress(view, facts, claims),
      ...conflicts(view, facts, claims),
      ...strangers(view, facts, claims),
    ];
    const told = new Set(found.flatMap(({ peer }) => peer ?? []));
    return [...found, ...unusable(view, facts, told)];
  });
  return drafts;
}

function claimOf(key: string, lease: Lease, { family }: FamilyFacts, isOwn: boolean): Claim {
  const { subnet, publicIp, backendData } = familyOf(lease, family);
  let mac: string | undefined;
  let vni: number | undefined;
  try {
    ({ mac, vni } = readBackendData(backendData));
  } catch {
    const told = isJsonObject(backendData) ? field(backendData, 'VNI') : undefined;
    vni = typeof told === 'number' ? told : undefined;
  }
  return { key, isOwn, type: lease.backendType, subnet, publicIp, mac, vni };
}

/** The address that this node publishes is on none of its interfaces. This is intended if an administrator has configured it. */
function ownAddress({ kernel, leases, node }: View, { publicIp }: FamilyFacts, claims: readonly Claim[]): Draft[] {
  const own = claims.find(({ isOwn }) => isOwn)?.publicIp ?? publicIp;
  if (kernel === undefined || own === undefined || kernel.addresses.some(({ ip }) => sameIp(ip, own))) return [];
  const { overwriteIp, overwriteIpv6 } = leases?.snapshot.nodeAddresses ?? {};
  const isMeant = [overwriteIp, overwriteIpv6].some((ip) => ip !== undefined && sameIp(ip, own));
  return [
    {
      id: 'public-ip-not-local',
      ...(isMeant && { severity: 'info' }),
      cause:
        'the address that this node publishes is on none of its interfaces, so other nodes reach it only through NAT',
      evidence: `the lease says ${formatIp(own)}, and ip address show lists it on no interface`,
      fix: `on ${node}: name the interface by --iface; behind NAT nothing is wrong if --public-ip or the annotation public-ip-overwrite is set`,
    },
  ];
}

/** Pairs of leases that claim the same. The younger one loses, so the finding names it as the peer. */
function conflicts(view: View, facts: FamilyFacts, claims: readonly Claim[]): Draft[] {
  const bySubnet = subnetFinder(claims);
  const byMac = olderFinder(claims, ({ mac }) => mac);
  const byAddress = olderFinder(claims, ({ publicIp }) => publicIp && formatIp(publicIp));
  return claims.flatMap((claim) => {
    const subnet = bySubnet(claim);
    if (subnet !== undefined) return [subnetConflict(view, subnet, claim)];
    const [mac, address] = [byMac(claim), byAddress(claim)];
    // The same MAC at the same address is one node whose old lease has not expired.
    if (mac !== undefined && mac === address) return [];
    if (mac !== undefined && facts.tunnel?.vni !== undefined)
      return [macConflict(view, facts.tunnel.device, mac, claim)];
    return address === undefined ? ownInterface(view, facts, claim) : [addressConflict(address, claim)];
  });
}

/** Finds the oldest claim of the same value; undefined for that claim itself. */
function olderFinder(claims: readonly Claim[], textOf: (claim: Claim) => string | undefined) {
  const oldest = new Map<string, Claim>();
  for (const claim of claims) {
    const value = textOf(claim);
    if (value !== undefined && !oldest.has(value)) oldest.set(value, claim);
  }
  return (claim: Claim): Claim | undefined => {
    const found = oldest.get(textOf(claim) ?? '');
    return found === claim ? undefined : found;
  };
}

/** Finds the older claim whose subnet overlaps. Claims are sorted by address, so overlapping ones are close to each other. */
function subnetFinder(claims: readonly Claim[]): (claim: Claim) => Claim | undefined {
  const index = new Map(claims.map((claim, at) => [claim, at]));
  const sorted = claims
    .filter(({ subnet }) => subnet !== undefined)
    .sort(
      (a, b) =>
        Number((a.subnet?.ip.value ?? 0n) - (b.subnet?.ip.value ?? 0n)) ||
        (a.subnet?.length ?? 0) - (b.subnet?.length ?? 0),
    );
  const overlapOf = new Map<Claim, Claim>();
  let open: Claim | undefined;
  for (const claim of sorted) {
    if (open?.subnet && claim.subnet && overlaps(open.subnet, claim.subnet)) {
      const [older, younger] = (index.get(open) ?? 0) < (index.get(claim) ?? 0) ? [open, claim] : [claim, open];
      overlapOf.set(younger, older);
    } else open = claim;
  }
  return (claim) => overlapOf.get(claim);
}

function pair(older: Claim, younger: Claim): Pick<Draft, 'peer'> {
  const peer = younger.isOwn ? older.key : younger.key;
  return { peer };
}

function subnetConflict({ node }: View, older: Claim, younger: Claim): Draft {
  const [a, b] = [older, younger].map(({ key, subnet }) => `${key} has ${subnet && formatPrefix(subnet)}`);
  const evidence = `${a}, ${b}`;
  const fix = `delete the lease of ${younger.key} (its Node’s podCIDR, or its key in etcd) and let that node join again; the lease of ${older.key} is older`;
  const where = younger.isOwn ? `on ${node}: ` : '';
  return {
    id: 'subnet-conflict',
    ...pair(older, younger),
    cause: `${older.key} and ${younger.key} have overlapping subnets, so only the pods of one of them can be reached`,
    evidence,
    fix: where + fix,
  };
}

function macConflict({ node }: View, tunnel: string, older: Claim, younger: Claim): Draft {
  return {
    id: 'vtep-mac-conflict',
    ...pair(older, younger),
    cause: `${older.key} and ${younger.key} have the same VTEP MAC, as when one machine is a copy of the other`,
    evidence: `both leases say ${younger.mac}`,
    fix: younger.isOwn
      ? run(node, `ip link del ${tunnel}`, 'remove the annotation backend-data of its Node, then restart its agent')
      : `on ${younger.key}: delete its flannel device and the annotation backend-data of its Node, then restart its agent`,
  };
}

function addressConflict(older: Claim, younger: Claim): Draft {
  return {
    id: 'public-ip-conflict',
    ...pair(older, younger),
    cause: `${older.key} and ${younger.key} publish the same address, so packets for one of them reach the other`,
    evidence: `both leases say ${younger.publicIp && formatIp(younger.publicIp)}`,
    fix: `on ${younger.key} or ${older.key}, whichever does not have that address: set --iface or --public-ip; delete the lease of a node that is gone`,
  };
}

/** Another node publishes an address of this node, other than the one that this node publishes. */
function ownInterface({ kernel, node }: View, facts: FamilyFacts, claim: Claim): Draft[] {
  const { key, isOwn, publicIp } = claim;
  if (isOwn || publicIp === undefined || isThisNode(facts, claim)) return [];
  const here = kernel?.addresses.find(({ ip }) => sameIp(ip, publicIp));
  if (here === undefined) return [];
  const name = kernel?.links.find(({ index }) => index === here.index)?.name ?? 'an interface';
  return [
    {
      id: 'public-ip-conflict',
      peer: key,
      cause: `${key} publishes an address of this node, so packets for ${key} never leave this node`,
      evidence: `its lease says ${formatIp(publicIp)}, which is an address of ${name} on ${node}`,
      fix: `on ${key}: set --iface or --public-ip; delete its lease if that node is gone`,
    },
  ];
}

/** Leases with another configuration. */
function strangers(view: View, facts: FamilyFacts, claims: readonly Claim[]): Draft[] {
  const { network, tunnel } = facts;
  const ownType = typeHere(view);
  return claims.flatMap((claim): Draft[] => {
    const { key, isOwn, subnet, type, vni } = claim;
    if (isOwn || subnet === undefined || isThisNode(facts, claim)) return [];
    const differs = (id: FindingId, what: string, evidence: string): Draft[] => [
      {
        id,
        peer: key,
        cause: `${key} has another ${what} than this node, so neither reaches the other’s pods`,
        evidence,
        fix: `on ${key}: install the cluster’s net-conf.json and restart the agent; delete its lease if that node is gone`,
      },
    ];
    if (!containsPrefix(network, subnet)) {
      return differs(
        'network-config-differs',
        'Network',
        `its subnet ${formatPrefix(subnet)} lies outside of ${formatPrefix(network)}`,
      );
    }
    if (ownType !== undefined && type !== ownType && !(ownType === 'udp' && type === '')) {
      return differs(
        'network-config-differs',
        'Backend.Type',
        `its backend is ${JSON.stringify(type.slice(0, 32))}, this node’s ${ownType}`,
      );
    }
    if (tunnel?.vni !== undefined && vni !== undefined && vni !== tunnel.vni) {
      return differs('peer-vni-differs', 'VNI', `its lease says VNI ${vni}, this node’s VNI is ${tunnel.vni}`);
    }
    return [];
  });
}

function typeHere({ agent, conf, families }: View): string | undefined {
  if (agent.state === 'answers' && agent.report.backend !== '') return agent.report.backend;
  return conf?.backend.type ?? families.find(({ tunnel }) => tunnel !== undefined)?.tunnel?.type;
}

/** Our own lease under another name: etcd names it by its subnet. */
function isThisNode({ subnet, publicIp }: FamilyFacts, claim: Claim): boolean {
  if (subnet === undefined || claim.subnet === undefined || !samePrefix(subnet, claim.subnet)) return false;
  return publicIp !== undefined && claim.publicIp !== undefined && sameIp(publicIp, claim.publicIp);
}

/** Leases that the data plane leaves out for any other reason, in its words. */
function unusable({ node }: View, { problems }: FamilyFacts, told: ReadonlySet<string>): Draft[] {
  return problems
    .filter(({ key }) => !told.has(key))
    .map(({ key, reason }) => ({
      id: 'lease-unusable',
      peer: key,
      cause: `the lease of ${key} cannot be used, so this node does not reach its pods`,
      evidence: reason,
      fix: `on ${key}: restart the agent, which writes its lease anew; delete the lease if that node is gone (found on ${node})`,
    }));
}
