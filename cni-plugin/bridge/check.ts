// bridge CHECK: compares the result of the ADD with what is there now (containernetworking/plugins plugins/main/bridge cmdCheck, pkg/ip
// ValidateExpected…; the error texts are theirs).

import { contains, formatIp, formatPrefix, type Ip, networkOf, samePrefix } from '../../lib/ip.ts';
import { field, isJsonObject } from '../../lib/json.ts';
import { type Netlink, openNetlink } from '../../lib/netlink/connection.ts';
import { type Address, listAddresses } from '../../lib/rtnetlink/address.ts';
import { getLink, type Link } from '../../lib/rtnetlink/link.ts';
import { listRoutes, type Route } from '../../lib/rtnetlink/route.ts';
import { IFF_PROMISC, RT_TABLE_MAIN } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { inNetns } from '../../lib/sys/netns.ts';
import { checkIpam } from '../ipam.ts';
import { failure } from '../protocol/error.ts';
import { type Invocation, requireNetns } from '../protocol/plugin.ts';
import type { Result, ResultInterface, ResultIp, ResultRoute } from '../protocol/result.ts';
import { parsePrevResult } from '../protocol/result-parse.ts';
import { type BridgeConfig, parseBridgeConfig } from './bridge-config.ts';

/** What is in the pod's netns. */
interface PodState {
  readonly link: Link | undefined;
  readonly addresses: readonly Address[];
  readonly routes: readonly Route[];
}

export function checkBridgeAttachment(invocation: Invocation): void {
  const config = parseBridgeConfig(invocation);
  const netnsFd = requireNetns(invocation);
  if (config.ipamType !== '') checkIpam(invocation, config.ipamType);
  const prevResult = field(invocation.config, 'prevResult');
  if (!isJsonObject(prevResult)) throw failure('Required prevResult missing');
  const result = parsePrevResult(prevResult, invocation.version);
  const netlink = openNetlink(invocation.sys);
  try {
    const bridge = checkBridge(netlink, config, result);
    const pod = readPod(invocation, netnsFd);
    const podLink = checkPodInterface(invocation, result, pod.link);
    checkHostEnd(netlink, config, invocation, result, bridge, podLink);
    checkAddresses(invocation.ifname, result, pod);
    for (const route of result.routes) checkRoute(route, result.ips, pod.routes);
  } finally {
    netlink.close();
  }
}

function readPod(invocation: Invocation, netnsFd: number): PodState {
  return inNetns(invocation.sys, netnsFd, () => {
    const netlink = openNetlink(invocation.sys);
    try {
      const link = getLink(netlink, { name: invocation.ifname });
      if (link === undefined) return { link, addresses: [], routes: [] };
      const { index } = link;
      const routes = [
        ...listRoutes(netlink, { family: 4, oif: index }),
        ...listRoutes(netlink, { family: 6, oif: index }),
      ];
      return { link, addresses: listAddresses(netlink, { index }), routes };
    } finally {
      netlink.close();
    }
  });
}

function checkBridge(netlink: Netlink, config: BridgeConfig, result: Result): Link {
  const expected = result.interfaces.find((item) => item.name === config.bridge && !item.sandbox);
  const link = getLink(netlink, { name: config.bridge });
  if (expected === undefined || link === undefined) throw failure(`Interface name ${config.bridge} not found`);
  if (link.kind !== 'bridge') throw failure(`${config.bridge} is no bridge`);
  if (expected.mac !== '' && expected.mac.toLowerCase() !== link.mac) {
    throw failure(`Bridge interface ${config.bridge} Mac doesn't match: ${expected.mac}`);
  }
  if (config.promisc && (link.flags & IFF_PROMISC) === 0) {
    throw failure(`promiscuous mode of ${config.bridge} is off, configured is on`);
  }
  return link;
}

function checkPodInterface(invocation: Invocation, result: Result, link: Link | undefined): Link {
  const { ifname, netns } = invocation;
  const expected = result.interfaces.find((item) => item.name === ifname && item.sandbox === netns);
  if (expected === undefined) {
    const other = result.interfaces.find((item) => item.name === ifname && item.sandbox)?.sandbox ?? '';
    throw failure(`Sandbox in prevResult ${other} doesn't match configured netns: ${netns}`);
  }
  if (link === undefined) throw failure(`the pod has no interface ${ifname}, which prevResult names`);
  if (link.kind !== 'veth') throw failure(`${ifname} of the pod is no veth`);
  if (expected.mac !== '' && expected.mac.toLowerCase() !== link.mac) {
    throw failure(`${ifname} has MAC ${link.mac ?? 'none'}, prevResult says ${expected.mac}`);
  }
  return link;
}

/** Finds in the result the interface that is the other end of the pod's. */
function checkHostEnd(
  netlink: Netlink,
  config: BridgeConfig,
  invocation: Invocation,
  result: Result,
  bridge: Link,
  podLink: Link,
): void {
  const candidates = result.interfaces.filter((item) => !item.sandbox && item.name !== config.bridge);
  for (const item of candidates) {
    const link = existingLink(netlink, item);
    if (link.kind !== 'veth' || link.lowerIndex !== podLink.index || link.master !== bridge.index) continue;
    checkPort(config, link);
    return;
  }
  throw failure(`no interface of prevResult is a port of ${config.bridge} and the other end of ${invocation.ifname}`);
}

function existingLink(netlink: Netlink, item: ResultInterface): Link {
  const link = getLink(netlink, { name: item.name });
  if (link === undefined) throw failure(`Interface name ${item.name} not found`);
  return link;
}

function checkPort(config: BridgeConfig, link: Link): void {
  const hairpin = link.port?.hairpin ?? false;
  if (config.hairpin && !hairpin) throw failure(`hairpin mode of ${link.name} is off, configured is on`);
  const isolated = link.port?.isolated ?? false;
  if (config.portIsolation && !isolated) throw failure(`isolation of ${link.name} is off, configured is on`);
}

function checkAddresses(ifname: string, result: Result, pod: PodState): void {
  for (const ip of result.ips) {
    const owner = ip.interface === undefined ? undefined : result.interfaces[ip.interface];
    if (owner !== undefined && owner.name !== ifname) continue;
    const has = pod.addresses.some(({ ip: own, length }) => samePrefix({ ip: own, length }, ip.address));
    if (!has) throw failure(`Failed to match addr ${formatPrefix(ip.address)} on interface ${ifname}`);
    if (ip.gateway !== undefined && !reaches(pod.routes, ip.gateway)) {
      throw failure(`Failed to find Gateway ${formatIp(ip.gateway)} for interface ${ifname}`);
    }
  }
}

/** Whether a connected route leads to the gateway; there is none while the link is down. */
function reaches(routes: readonly Route[], gateway: Ip): boolean {
  return routes.some((route) => route.gateway === undefined && contains(route.destination, gateway));
}

function checkRoute(expected: ResultRoute, ips: readonly ResultIp[], routes: readonly Route[]): void {
  const { family } = expected.dst.ip;
  const gateway = expected.gw ?? ips.find((ip) => ip.gateway?.family === family)?.gateway;
  const destination = networkOf(expected.dst);
  const table = expected.table ?? RT_TABLE_MAIN;
  const found = routes.some(
    (route) =>
      samePrefix(route.destination, destination) &&
      route.table === table &&
      (gateway === undefined || hasGateway(route, gateway)),
  );
  if (found) return;
  const via = gateway === undefined ? '' : ` GW:${formatIp(gateway)}`;
  throw failure(`Expected Route {Dst:${formatPrefix(expected.dst)}${via}} not found in routing table`);
}

function hasGateway(route: Route, gateway: Ip): boolean {
  const gateways = [route.gateway, ...(route.hops ?? []).map((hop) => hop.gateway)];
  return gateways.some((each) => each?.family === gateway.family && each.value === gateway.value);
}
