// bridge ADD. Everything that can be checked is checked before anything is made, and whatever was made is
// undone when a later step fails. (The Go plugin makes the bridge before it opens the netns.)

import { errorText } from '../../lib/errors.ts';
import { addToIp, type Ip, type IpPrefix, networkOf } from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import { type Netlink, openNetlink } from '../../lib/netlink/connection.ts';
import { hashedMac, hostMac, hostVethName, podMac } from '../../lib/pods/names.ts';
import { deleteLink, type Link } from '../../lib/rtnetlink/link.ts';
import type { Allocation } from '../host-local/host-local.ts';
import { prepareIpam } from '../ipam.ts';
import { CniError, failure, UNTYPED } from '../protocol/error.ts';
import { type Invocation, requireNetns } from '../protocol/plugin.ts';
import {
  checkConvertible,
  emptyDns,
  isEmptyDns,
  type Result,
  type ResultIp,
  type ResultRoute,
} from '../protocol/result.ts';
import { withUndo } from '../undo.ts';
import { type AttachmentSpec, createAttachment, podHasInterface, waitForBridge, waitForPort } from './attach.ts';
import { type BridgeConfig, parseBridgeConfig } from './bridge-config.ts';
import { enableForwarding, ensureBridge, ensureGatewayAddress, findBridge } from './device.ts';
import { addSpoofCheck, removeSpoofCheck } from './mac-spoofing.ts';
import { addMasquerade } from './masquerade.ts';
import { configurePod } from './pod.ts';
import { ensureVlanInterface, setPortVlans } from './vlan.ts';

/** The result of IPAM, completed by gateways, the default route and the container's interface index. */
interface Layer3 {
  readonly ips: readonly ResultIp[];
  readonly routes: readonly ResultRoute[];
  /** The addresses the bridge itself must have. */
  readonly gateways: readonly IpPrefix[];
}

/** Position of the container's interface in the result: after the bridge and the host end. */
const CONTAINER_INTERFACE = 2;

export function addBridgeAttachment(invocation: Invocation): Result {
  const config = parseBridgeConfig(invocation);
  checkConvertible(invocation.version, config.ipamType !== '');
  const netnsFd = requireNetns(invocation);
  const allocate = config.ipamType === '' ? undefined : prepareIpam(invocation, config.ipamType);
  const netlink = openNetlink(invocation.sys);
  const found = findBridge(netlink, config.bridge);
  return withUndo(invocation.note, (onFailure) => {
    const allocation = allocate === undefined ? undefined : allocateOrExplain(invocation, netnsFd, allocate);
    if (allocation !== undefined) onFailure(() => allocation.undo());
    const layer3 = completeLayer3(config, allocation?.result);
    const prepared = prepareBridge(invocation, netlink, config, found, layer3);
    return attach(invocation, netlink, config, prepared, layer3, allocation?.result, onFailure);
  });
}

/**
 * Allocates addresses. If that fails and the pod already has the interface, the attachment exists. Then the error says this, as the Go
 * plugin's does, with IPAM's own text as details.
 */
function allocateOrExplain(invocation: Invocation, netnsFd: number, allocate: () => Allocation): Allocation {
  try {
    return allocate();
  } catch (thrown) {
    const { ifname, containerId, sys } = invocation;
    if (!podHasInterface(sys, netnsFd, ifname)) throw thrown;
    const peer = hostVethName(containerId, ifname);
    const message = `container veth name ("${ifname}") peer provided ("${peer}") already exists`;
    throw new CniError(UNTYPED, message, errorText(thrown));
  }
}

function completeLayer3(config: BridgeConfig, result: Result | undefined): Layer3 {
  if (result === undefined) return { ips: [], routes: [], gateways: [] };
  if (result.ips.length === 0) throw failure('IPAM plugin returned missing IP config');
  const routes = [...result.routes];
  const gateways: IpPrefix[] = [];
  const ips = result.ips.map((ip): ResultIp => {
    const { address } = ip;
    const gateway = ip.gateway ?? (config.isGateway ? addToIp(networkOf(address).ip, 1) : undefined);
    if (config.isGateway && gateway !== undefined) gateways.push({ ip: gateway, length: address.length });
    if (config.isDefaultGateway && gateway !== undefined) addDefaultRoute(routes, gateway);
    return { address, gateway, interface: CONTAINER_INTERFACE };
  });
  return { ips, routes, gateways };
}

/** Adds a default route, unless the result has one with a gateway already. */
function addDefaultRoute(routes: ResultRoute[], gateway: Ip): void {
  const { family } = gateway;
  const has = routes.some(
    (route) => route.gw !== undefined && route.dst.length === 0 && route.dst.ip.family === family,
  );
  if (!has) routes.push({ dst: { ip: { family, value: 0n }, length: 0 }, gw: gateway });
}

/** The bridge, and the device that has its gateway addresses: the bridge itself, or the interface of its VLAN. */
interface PreparedBridge {
  readonly bridge: Link;
  readonly gatewayLink: Link;
}

function prepareBridge(
  invocation: Invocation,
  netlink: Netlink,
  config: BridgeConfig,
  found: Link | undefined,
  layer3: Layer3,
): PreparedBridge {
  const { gateways } = layer3;
  const first = gateways[0]?.ip;
  const bridge = ensureBridge(invocation.sys, netlink, config, found, first);
  const onVlan = first !== undefined && config.vlan !== 0;
  const gatewayLink = onVlan ? ensureVlanInterface(netlink, bridge, config, first) : bridge;
  for (const gateway of gateways) ensureGatewayAddress(netlink, gatewayLink, gateway, config);
  enableForwarding(
    invocation.sys,
    gateways.map(({ ip }) => ip),
  );
  return { bridge, gatewayLink };
}

function attachmentSpec(
  invocation: Invocation,
  config: BridgeConfig,
  bridge: Link,
  first: Ip | undefined,
): AttachmentSpec {
  const { containerId, ifname } = invocation;
  return {
    netnsFd: requireNetns(invocation),
    ifname,
    hostName: hostVethName(containerId, ifname),
    podMac: config.mac ?? (first === undefined ? hashedMac('pod', containerId, ifname) : podMac(first)),
    hostMac: first === undefined ? hashedMac('host', containerId, ifname) : hostMac(first),
    bridgeIndex: bridge.index,
  };
}

function attach(
  invocation: Invocation,
  netlink: Netlink,
  config: BridgeConfig,
  prepared: PreparedBridge,
  layer3: Layer3,
  ipam: Result | undefined,
  onFailure: (undo: () => void) => void,
): Result {
  const { sys, ifname } = invocation;
  const { bridge } = prepared;
  const spec = attachmentSpec(invocation, config, bridge, layer3.ips[0]?.address.ip);
  const ends = createAttachment(sys, netlink, spec, config);
  onFailure(() => netlink.execute([deleteLink({ index: ends.hostIndex, name: spec.hostName })]));
  setPortVlans(netlink, ends.hostIndex, spec.hostName, config);
  const dns = isEmptyDns(config.dns) ? (ipam?.dns ?? emptyDns()) : config.dns;
  const { ips, routes } = layer3;
  const result: Result = { interfaces: [], ips, routes, dns };
  let hostEnd: Mac = spec.hostMac;
  if (!config.disableContainerInterface) {
    const pod = { netnsFd: spec.netnsFd, ifname, index: ends.podIndex, enableDad: config.enableDad };
    configurePod(sys, pod, result);
    hostEnd = waitForPort(sys, netlink, spec.hostName, ends.hostIndex).mac ?? hostEnd;
    waitForBridge(sys, netlink, bridge);
  }
  if (config.macSpoofCheck) {
    onFailure(() => removeSpoofCheck(invocation));
    addSpoofCheck(invocation, spec.hostName, spec.podMac);
  }
  if (config.ipMasq) {
    addMasquerade(
      invocation,
      config.ipMasqBackend,
      ips.map(({ address }) => address),
      onFailure,
    );
  }
  return { ...result, interfaces: interfacesOf(invocation, prepared, spec, hostEnd) };
}

function interfacesOf(
  invocation: Invocation,
  { bridge, gatewayLink }: PreparedBridge,
  spec: AttachmentSpec,
  hostEnd: Mac,
): Result['interfaces'] {
  const interfaces = [
    { name: bridge.name, mac: bridge.mac ?? '' },
    { name: spec.hostName, mac: hostEnd },
    { name: spec.ifname, mac: spec.podMac, sandbox: invocation.netns },
  ];
  return gatewayLink === bridge ? interfaces : [...interfaces, { name: gatewayLink.name, mac: gatewayLink.mac ?? '' }];
}
