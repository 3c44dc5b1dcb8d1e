// What the pods' side of this node should be: the bridge the conflist names, with the gateway of each of this node's
// subnets and the MTU of the network. Pure; what the CNI executable makes of the same (cni-plugin/flannel/config.ts).

import { addToIp, type IpPrefix, networkOf } from '../../../lib/ip.ts';
import { field, isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../../lib/json.ts';

export interface WantedPodSide {
  readonly bridge: string;
  /** The bridge's own addresses; empty where the conflist wants none, or has them come from elsewhere. */
  readonly gateways: readonly IpPrefix[];
  /** The pod network of each family: an address in it that is no gateway here is another node's. */
  readonly networks: readonly IpPrefix[];
  /** 0 before it is known. */
  readonly mtuBytes: number;
}

/** One family of this node. */
export interface PodFamily {
  readonly network: IpPrefix;
  /** This node's own. */
  readonly subnet: IpPrefix;
}

/** Undefined where the conflist's flannel plugin delegates to something other than a bridge: that is its own affair. */
export function wantedPodSide(
  conflist: string,
  families: readonly PodFamily[],
  mtuBytes: number,
): WantedPodSide | undefined {
  const plugin = flannelPlugin(conflist);
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

/** As host-local has it without a word about it: the first address of the subnet. */
function gatewayOf({ subnet }: PodFamily): IpPrefix {
  return { ip: addToIp(networkOf(subnet).ip, 1), length: subnet.length };
}

/** A VLAN has its gateway on an interface of its own; another IPAM, or one with a subnet of its own, decides itself. */
function hasGateway(plugin: JsonObject, delegate: JsonObject): boolean {
  const wants = field(delegate, 'isGateway') ?? true;
  const isGateway = wants === true || field(delegate, 'isDefaultGateway') === true;
  const ipam = objectAt(plugin, 'ipam') ?? new Map();
  const isHostLocal = (field(ipam, 'type') ?? 'host-local') === 'host-local' && field(ipam, 'subnet') === undefined;
  return isGateway && isHostLocal && (field(delegate, 'vlan') ?? 0) === 0;
}

function flannelPlugin(conflist: string): JsonObject | undefined {
  let root: JsonValue;
  try {
    root = parseJson(conflist);
  } catch {
    return undefined;
  }
  const plugins = isJsonObject(root) ? field(root, 'plugins') : undefined;
  if (!Array.isArray(plugins)) return undefined;
  return plugins.filter(isJsonObject).find((plugin) => field(plugin, 'type') === 'flannel');
}

function objectAt(object: JsonObject, key: string): JsonObject | undefined {
  const value = field(object, key);
  return isJsonObject(value) ? value : undefined;
}
