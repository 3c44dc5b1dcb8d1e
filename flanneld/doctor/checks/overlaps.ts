// Networks of this node, or addresses of Services, that lie in the pod network.

import { contains, containsPrefix, formatIp, formatPrefix, isLinkLocal, networkOf, overlaps } from '../../../lib/ip.ts';
import type { Address } from '../../../lib/rtnetlink/address.ts';
import { backendOfDevice } from '../../backend/registry.ts';
import type { Draft } from '../draft.ts';
import type { FamilyFacts } from '../view/facts.ts';
import type { View } from '../view/view.ts';

export function checkOverlaps(view: View): Draft[] {
  return view.families.flatMap((facts) => [...localNetworks(view, facts), ...services(view, facts)]);
}

function localNetworks(view: View, facts: FamilyFacts): Draft[] {
  const { kernel, node } = view;
  const { network, family } = facts;
  const found = (kernel?.addresses ?? []).filter((address) => isInside(view, facts, address));
  return found.map((address) => {
    const name = kernel?.links.find(({ index }) => index === address.index)?.name ?? 'an interface';
    const inner = networkOf(address);
    const leased = [...(view.leases?.snapshot.leases ?? [])].filter(([, lease]) => {
      const subnet = family === 4 ? lease.subnet : lease.ipv6Subnet;
      return subnet !== undefined && overlaps(subnet, inner);
    });
    const isUnderlay = name === view.underlay?.name;
    const whose = leased.length === 0 ? 'which no node has yet' : `which takes packets for pods of ${leased[0]?.[0]}`;
    return {
      id: 'network-overlap',
      severity: leased.length > 0 || isUnderlay ? 'error' : 'warning',
      cause: `a network of this node lies in the pod network ${formatPrefix(network)}`,
      evidence: `${name} has ${formatIp(address.ip)}/${address.length}, ${whose}`,
      fix: /^(docker|br-)/.test(name)
        ? `on ${node}: give docker other addresses ("bip" and "default-address-pools" in /etc/docker/daemon.json), or the cluster another Network`
        : `on ${node}: give ${name} an address outside ${formatPrefix(network)}, or the cluster another Network`,
    };
  });
}

/** The bridge and the tunnel have addresses in the pod network, and so do gateways of pods with devices of their own. */
function isInside(view: View, { network, subnet, tunnel }: FamilyFacts, address: Address): boolean {
  const { bridge, kernel } = view;
  if (address.family !== network.ip.family || isLinkLocal(address.ip) || !contains(network, address.ip)) return false;
  if (subnet !== undefined && containsPrefix(subnet, networkOf(address))) return false;
  const link = kernel?.links.find(({ index }) => index === address.index);
  if (link === undefined || link.name === tunnel?.device || link.name === bridge.name) return false;
  return backendOfDevice(link) === undefined;
}

function services({ services: all, node }: View, { network }: FamilyFacts): Draft[] {
  const inside = all.filter(({ ip }) => ip.family === network.ip.family && contains(network, ip));
  const [first] = inside;
  if (first === undefined) return [];
  return [
    {
      id: 'service-cidr-overlap',
      cause: `the address range of Services overlaps the pod network ${formatPrefix(network)}`,
      evidence: inside
        .slice(0, 3)
        .map(({ what }) => what)
        .join(', '),
      fix: `on the API server and ${node}: give --service-cluster-ip-range a range outside of Network ${formatPrefix(network)}`,
    },
  ];
}
