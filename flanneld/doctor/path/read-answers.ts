// Asks the kernel everything about one path, and sends the test packets. No packet leaves the node, and everything that was made is removed
// again.

import { errorText } from '../../../lib/errors.ts';
import { addToIp, contains, formatIp, type Ip, type IpPrefix, networkOf, parseIp, sameIp } from '../../../lib/ip.ts';
import { listConnectionsBetween } from '../../../lib/netfilter/conntrack.ts';
import { openNetfilter } from '../../../lib/netfilter/netfilter-socket.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { ownerParts } from '../../../lib/pods/address-store.ts';
import { type CachedResult, listCachedResults, RESULTS_FOLDER } from '../../../lib/pods/cached-result.ts';
import { hostVethName } from '../../../lib/pods/names.ts';
import { listAddresses } from '../../../lib/rtnetlink/address.ts';
import { listFdb } from '../../../lib/rtnetlink/fdb.ts';
import { type Link, listLinks } from '../../../lib/rtnetlink/link.ts';
import { listNeighs } from '../../../lib/rtnetlink/neigh.ts';
import { isForwarding } from '../../../lib/rtnetlink/netconf.ts';
import { listNexthops } from '../../../lib/rtnetlink/nexthop.ts';
import { readForeignText } from '../../../lib/sys/foreign-file.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import type { TunnelWay } from '../../dataplane/tunnel-way.ts';
import type { Nft } from '../../firewall/nft-program.ts';
import type { PodNetwork } from '../../pods/pod-network.ts';
import { throughBridge, throughTunnel } from '../../pods/refusal/inject.ts';
import { PROBE_PORT, type Transport } from '../../pods/refusal/packet.ts';
import { refusalParts } from '../../pods/refusal/refusal-text.ts';
import type { PeerFacts } from '../view/facts.ts';
import type { View } from '../view/view.ts';
import type { OuterAnswer, PodAnswer, RouteAnswer, TunnelAnswer } from './answers.ts';
import { type Answers, type BridgeAnswer, type FateAnswer, type ForwardingAnswer, linkOf } from './answers.ts';
import { askRoute } from './ask-route.ts';
import { followPackets, type TestPacket } from './packet-fate.ts';
import { type KnownPod, type Place, placeAt, type Surroundings } from './place.ts';
import { sendFromNode } from './send-from-node.ts';
import { readTracked } from './tracked.ts';

export interface PathTools {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly nft: Nft;
  readonly random: () => number;
}

export interface PathScope {
  readonly pods: PodNetwork;
  readonly cniStateDir: string;
}

/** What the user asked for on the command line. */
export interface Asked {
  readonly port: { readonly protocol: 'udp' | 'tcp'; readonly port: number } | undefined;
}

/** Above the ports that the kernel assigns by itself (ip_local_port_range). */
const FIRST_SOURCE_PORT = 61_001;
const SOURCE_PORTS = 4000;
/** kube-proxy chooses the pod behind a Service at random, so that several packets show several of them. */
const SERVICE_PACKETS = 8;
const OWNER_LIMIT_BYTES = 4096;

/** Rejects with OpError when the kernel cannot be asked. */
export async function readAnswers(
  { from, to }: { readonly from: Place; readonly to: Place },
  { port }: Asked,
  around: Surroundings,
  view: View,
  scope: PathScope,
  tools: PathTools,
): Promise<Answers> {
  const { netlink } = tools;
  const { family } = to.ip;
  const links = listLinks(netlink);
  const facts = view.families.find((each) => each.family === family);
  const bridge = readBridge(netlink, scope.pods.bridge, links, around, family);
  const deviceName = facts?.tunnel?.device;
  const device = links.find(({ name }) => name === deviceName);
  const iif = entranceOf(from, bridge.link, device);
  const transport = transportOf(port, tools.random);
  const cached = listCachedResults(tools.sys, `${scope.cniStateDir}/${RESULTS_FOLDER}`);
  const pod = (place: Place): PodAnswer | undefined =>
    place.kind === 'pod here' ? readPod(place.ip, bridge, links, cached, scope, tools) : undefined;
  const isInside = from.kind === 'pod here' && to.kind === 'pod here';
  const sent: FateAnswer = isInside
    ? { unknown: 'the packet is bridged and passes no forwarding rule' }
    : await sendTests(
        { from, to, transport, isPortGiven: port !== undefined },
        bridge.link,
        device,
        facts?.network,
        tools,
      );
  const target = targetOf(to, sent, around);
  const source = from.kind === 'this node' ? undefined : from.ip;
  const route = isInside ? undefined : askRoute(netlink, { to: target.ip, from: source, iif });
  const exit = linkOf({ links }, route?.route?.oif);
  const overTunnel = device !== undefined && exit?.index === device.index;
  const peer = facts?.peers.find(({ subnet }) => contains(subnet, target.ip));
  const tunnel = overTunnel ? readTunnel(netlink, device, route, peer, facts?.tunnel) : undefined;
  const outer = await readOuter(
    { route, exit, tunnel, target, isInside, peer, port: facts?.tunnel?.port },
    links,
    tools,
  );
  return {
    ...{ node: view.node, family, network: facts?.network, from, to, transport, isPortGiven: port !== undefined },
    ...{ target, peerAddress: peer?.publicIp, links, bridge, deviceName },
    fromPod: pod(from),
    toPod: pod(target),
    forwarding:
      source === undefined || isInside || target.kind === 'this node'
        ? undefined
        : readForwarding(netlink, family, iif),
    ...{ sent, route, tunnel, outer },
    back: isInside || source === undefined ? undefined : readBack(netlink, from, target, exit),
    fastPath: view.agent.state === 'answers' ? view.agent.report.fastPath : undefined,
    connections: readConnections(tools.sys, from.ip, to.ip),
    tracked: readTracked(),
  };
}

/** The device by which the packet arrives; undefined for a packet that this node sends. */
function entranceOf(from: Place, bridge: Link | undefined, device: Link | undefined): Link | undefined {
  if (from.kind === 'this node') return undefined;
  return from.kind === 'pod here' ? bridge : device;
}

function transportOf(port: Asked['port'], random: () => number): Transport {
  const sourcePort = FIRST_SOURCE_PORT + Math.floor(random() * SOURCE_PORTS);
  return { protocol: port?.protocol ?? 'udp', port: port?.port ?? PROBE_PORT, sourcePort };
}

function readBridge(
  netlink: Netlink,
  name: string,
  links: readonly Link[],
  { subnets }: Surroundings,
  family: 4 | 6,
): BridgeAnswer {
  const link = links.find((each) => each.name === name && each.kind === 'bridge');
  const subnet = subnets.find(({ ip }) => ip.family === family);
  const addresses = link === undefined ? [] : listAddresses(netlink, { index: link.index, family });
  return { name, link, addresses, gateway: subnet && addToIp(networkOf(subnet).ip, 1) };
}

/** All pods of this node that the runtime's cache has. */
export function knownPods(sys: Syscalls, cniStateDir: string): KnownPod[] {
  return [...listCachedResults(sys, `${cniStateDir}/${RESULTS_FOLDER}`).values()].map((cached) => ({
    containerId: cached.containerId,
    name: cached.podName,
    ips: cached.ips.map((text) => parseIp(text)),
  }));
}

function readPod(
  ip: Ip,
  bridge: BridgeAnswer,
  links: readonly Link[],
  cached: ReadonlyMap<string, CachedResult>,
  { pods }: PathScope,
  { sys, netlink }: PathTools,
): PodAnswer {
  const text = formatIp(ip);
  const results = [...cached.values()].filter(({ ips }) => ips.includes(text));
  const owner = readOwner(sys, `${pods.addressFolder}/${text}`);
  const names = [
    ...results.flatMap(({ hostInterfaces }) => hostInterfaces.filter((name) => name !== bridge.name && name !== '')),
    ...results.filter(({ ifname }) => ifname !== '').map((one) => hostVethName(one.containerId, one.ifname)),
    ...(owner === undefined ? [] : [hostVethName(owner.containerId, owner.ifname)]),
  ];
  const neighs = bridge.link === undefined ? [] : listNeighs(netlink, { index: bridge.link.index, family: ip.family });
  return {
    ip,
    names: [...new Set(names)],
    port: links.find(({ name }) => names.includes(name)),
    neigh: neighs.find(({ destination }) => sameIp(destination, ip)),
  };
}

/** Which container has an address, by the IPAM plugin's file. */
function readOwner(sys: Syscalls, path: string): { containerId: string; ifname: string } | undefined {
  const read = readForeignText(sys, path, OWNER_LIMIT_BYTES);
  if (typeof read !== 'object') return undefined;
  const { containerId, ifname } = ownerParts(read.text);
  return containerId === '' || ifname === '' ? undefined : { containerId, ifname };
}

function readForwarding(netlink: Netlink, family: 4 | 6, iif: Link | undefined): ForwardingAnswer {
  const all = family === 4 ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
  if (isForwarding(netlink, family) === false) return { knob: all, isOn: false };
  if (family === 6 || iif === undefined) return { knob: all, isOn: true };
  const isOn = isForwarding(netlink, family, iif.index) !== false;
  return { knob: isOn ? all : `net.ipv4.conf.${iif.name.replaceAll('.', '/')}.forwarding`, isOn };
}

interface Test {
  readonly from: Place;
  readonly to: Place;
  readonly transport: Transport;
  readonly isPortGiven: boolean;
}

async function sendTests(
  { from, to, transport, isPortGiven }: Test,
  bridge: Link | undefined,
  device: Link | undefined,
  network: IpPrefix | undefined,
  tools: PathTools,
): Promise<FateAnswer> {
  const count = isPortGiven && to.kind === 'outside' ? SERVICE_PACKETS : 1;
  const source = from.kind === 'this node' ? undefined : from.ip;
  const packets: TestPacket[] = Array.from({ length: count }, (_, n) => ({
    from: source,
    to: to.ip,
    transport: { ...transport, sourcePort: transport.sourcePort + n },
  }));
  const inject =
    from.kind === 'pod here' ? bridge && throughBridge(bridge, tools) : device && throughTunnel(device, tools);
  if (source !== undefined && inject === undefined)
    return { unknown: `there is no device for packets of ${from.text}` };
  const send = async (): Promise<void> => {
    if (source === undefined) return await sendFromNode(packets);
    inject?.(packets.map((packet) => ({ from: source, to: packet.to, transport: packet.transport })));
  };
  return await follow(packets, send, [bridge?.name, device?.name], network, tools);
}

async function follow(
  packets: readonly TestPacket[],
  send: () => Promise<void>,
  devices: readonly (string | undefined)[],
  network: IpPrefix | undefined,
  tools: PathTools,
): Promise<FateAnswer> {
  try {
    const fates = await followPackets(packets, send, tools);
    const refused = fates.find((fate) => fate.arrived && !fate.hasLeft && !fate.isDelivered);
    const [packet] = packets;
    const prefix = network ?? (packet && { ip: packet.to, length: packet.to.family === 4 ? 32 : 128 });
    if (refused?.refusedBy === undefined || prefix === undefined) return { fates, refusal: undefined };
    const names = devices.filter((name) => name !== undefined);
    const { cause, advice } = await refusalParts('packets', prefix, names, refused.refusedBy, tools.nft);
    return { fates, refusal: `${cause}: ${advice}` };
  } catch (error) {
    return { unknown: errorText(error) };
  }
}

/** Where the packets go: the first pod behind a Service to which they were translated, if any. */
function targetOf(to: Place, sent: FateAnswer, around: Surroundings): Place {
  if ('unknown' in sent) return to;
  const [fate] = sent.fates.filter(({ arrived }) => arrived);
  return fate === undefined || sameIp(fate.to, to.ip) ? to : placeAt(fate.to, around);
}

function readTunnel(
  netlink: Netlink,
  device: Link,
  answer: RouteAnswer | undefined,
  peer: PeerFacts | undefined,
  way: TunnelWay | undefined,
): TunnelAnswer | undefined {
  const route = answer?.route;
  const entry = answer?.entry ?? route;
  const gateway = route?.gateway ?? entry?.gateway ?? entry?.destination.ip;
  if (route === undefined || gateway === undefined) return undefined;
  const nexthopId = entry?.nexthopId ?? route.nexthopId;
  const neigh = listNeighs(netlink, { index: device.index, family: gateway.family }).find(({ destination }) =>
    sameIp(destination, gateway),
  );
  const mac = neigh?.mac;
  return {
    ...{ device, gateway, nexthopId, neigh },
    nexthop: nexthopId === undefined ? undefined : listNexthops(netlink).find(({ id }) => id === nexthopId),
    fdb: mac === undefined ? [] : listFdb(netlink, { index: device.index }).filter((entryOf) => entryOf.mac === mac),
    wanted: peer?.mac === undefined ? undefined : { mac: peer.mac, publicIp: peer.publicIp },
    overheadBytes: way?.overheadBytes ?? 0,
  };
}

interface Inner {
  readonly route: RouteAnswer | undefined;
  readonly exit: Link | undefined;
  readonly tunnel: TunnelAnswer | undefined;
  readonly target: Place;
  readonly isInside: boolean;
  readonly peer: PeerFacts | undefined;
  /** The tunnel's port in the configuration. */
  readonly port: number | undefined;
}

/** The way on the underlay of the tunnel's packet, or of the packet itself where there is no tunnel. */
async function readOuter(
  { route, exit, tunnel, target, isInside, peer, port: configured }: Inner,
  links: readonly Link[],
  tools: PathTools,
): Promise<OuterAnswer | undefined> {
  const { netlink } = tools;
  if (isInside || route?.route === undefined || target.kind === 'pod here' || target.kind === 'this node')
    return undefined;
  if (tunnel === undefined) {
    const nextHop = route.route.gateway ?? target.ip;
    return {
      to: target.ip,
      route,
      link: exit,
      nextHop,
      neigh: neighOf(netlink, exit, nextHop),
      sent: undefined,
      port: undefined,
    };
  }
  const to = tunnel.fdb[0]?.destination ?? peer?.publicIp;
  const port = tunnel.fdb[0]?.port ?? tunnel.device.vxlan?.port ?? configured;
  if (to === undefined) return undefined;
  const outer = askRoute(netlink, { to });
  const link = linkOf({ links }, outer.route?.oif);
  const nextHop = outer.route?.gateway ?? to;
  const sent = port === undefined ? undefined : await sendOuter(to, port, tools);
  return { to, route: outer, link, nextHop, neigh: neighOf(netlink, link, nextHop), sent, port };
}

/**
 * Sends eight bytes to the peer's port and drops them before they leave: this shows whether this node's rules let the tunnel's packets out.
 */
async function sendOuter(to: Ip, port: number, tools: PathTools): Promise<FateAnswer> {
  const { sourcePort } = transportOf(undefined, tools.random);
  const packets: TestPacket[] = [{ from: undefined, to, transport: { protocol: 'udp', port, sourcePort } }];
  return await follow(packets, () => sendFromNode(packets), [], undefined, tools);
}

function neighOf(netlink: Netlink, link: Link | undefined, ip: Ip): OuterAnswer['neigh'] {
  if (link === undefined) return undefined;
  return listNeighs(netlink, { index: link.index, family: ip.family }).find(({ destination }) =>
    sameIp(destination, ip),
  );
}

/** The answer arrives by the device that the packet left by. An answer that masquerading translates back is not asked about. */
function readBack(netlink: Netlink, from: Place, target: Place, exit: Link | undefined): RouteAnswer | undefined {
  if (exit === undefined || target.kind === 'outside' || target.kind === 'this node') return undefined;
  if (target.kind === 'other node') return undefined;
  return askRoute(netlink, { to: from.ip, from: target.ip, iif: exit });
}

function readConnections(sys: Syscalls, from: Ip, to: Ip): Answers['connections'] {
  const netfilter = openNetfilter(sys);
  try {
    return listConnectionsBetween(netfilter.netlink, from, to);
  } catch {
    // This kernel has no connection tracking, or not the module for listing; then it translates nothing either.
    return [];
  } finally {
    netfilter.close();
  }
}
