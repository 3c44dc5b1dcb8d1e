// The wanted state of the pods' side: the bridge that the conflist names, with the gateway of each of this node's subnets and the
// MTU of the network. A pure function, with the same result as in the CNI executable (cni-plugin/flannel/flannel-config.ts).

import { addToIp, type IpPrefix, networkOf } from '../../../lib/ip.ts';
import { field, type JsonObject } from '../../../lib/json.ts';
import { flannelPluginIn, objectAt } from '../pod-network.ts';

export interface WantedPodSide {
  readonly bridge: string;
  /** The bridge's own addresses; empty when the conflist wants none or gets them from elsewhere. */
  readonly gateways: readonly IpPrefix[];
  /** The pod network of each family. An address in it that is not a gateway of this node belongs to another node. */
  readonly networks: readonly IpPrefix[];
  /** 0 before it is known. */
  readonly mtuBytes: number;
}

/** One family of this node. */
export interface PodFamily {
  readonly network: IpPrefix;
  /** This node's own subnet. */
  readonly subnet: IpPrefix;
}

/** Undefined when the conflist's flannel plugin delegates to another plugin than bridge; then nothing is checked. */
export function wantedPodSide(
  conflist: string,
  families: readonly PodFamily[],
  mtuBytes: number,
): WantedPodSide | undefined {
  const plugin = flannelPluginIn(conflist);
  if (plugin === undefined) return undefined;
  const delegate = objectAt(plugin, 'delegate') ?? new Map();
  if ((field(delegate, 'type') ?? 'bridge') !== 'bridge') return undefined;
  const bridge = field(delegate, 'bridge');
  const mtu = field(delegate, 'mtu');
  return {
    bridge: typeof bridge === 'string' && bridge !== '' ? bridge : 'cni0',
    gateways: hasGateway(plugin, delegate) ? families.map(gatewayOf) : [],
    networks: families.map(({ network }) => network),
    mtuBytes: typeof mtu === 'number' && mtu > 0 ? mtu : mtuBytes,
  };
}

/** host-local's default gateway: the first address of the subnet. */
function gatewayOf({ subnet }: PodFamily): IpPrefix {
  return { ip: addToIp(networkOf(subnet).ip, 1), length: subnet.length };
}

/**
 * Whether the bridge has the gateway. With a VLAN it is on another interface; another IPAM plugin, or one with its own subnet, decides
 * itself.
 */
function hasGateway(plugin: JsonObject, delegate: JsonObject): boolean {
  const wants = field(delegate, 'isGateway') ?? true;
  const isGateway = wants === true || field(delegate, 'isDefaultGateway') === true;
  const ipam = objectAt(plugin, 'ipam') ?? new Map();
  const isHostLocal = (field(ipam, 'type') ?? 'host-local') === 'host-local' && field(ipam, 'subnet') === undefined;
  return isGateway && isHostLocal && (field(delegate, 'vlan') ?? 0) === 0;
}
