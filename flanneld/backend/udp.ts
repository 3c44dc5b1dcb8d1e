// The udp backend: every packet passes through the agent, from a TUN device into a datagram. For nodes whose kernel has
// no VXLAN, and for clusters that are on flannel's udp. Unlike all others it forwards nothing while the agent is down.

import type { UdpConf } from '../../lib/backend-conf.ts';
import { ConfigError, errorText, OpError } from '../../lib/errors.ts';
import { type Family, type IpPrefix, samePrefix } from '../../lib/ip.ts';
import type { NetlinkRequest } from '../../lib/netlink/request.ts';
import { IFF_UP, RT_TABLE_MAIN } from '../../lib/rtnetlink/constants.ts';
import { getLink, type Link, type LinkChange, setLink } from '../../lib/rtnetlink/link.ts';
import { addRoute, listRoutes } from '../../lib/rtnetlink/route.ts';
import { openTun, type Tun } from '../../lib/sys/tun-node.ts';
import { type RoutePeers, routePeers } from '../dataplane/route-peer.ts';
import { type Device, WEFT_PROTOCOL } from '../dataplane/state.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { OverlayStatus } from '../health/status/report.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';
import type { Backend, BackendTools } from './backend.ts';
import type { FamilySettings, Overlay } from './overlay.ts';
import { ensureOwnAddress } from './own-address.ts';
import { PeerProblems } from './peer-problems.ts';
import { UdpForwarder } from './udp-forwarder.ts';
import { describePlace, underlayLink } from './underlay.ts';

const TYPE = 'udp';
/** IPv4 header 20, UDP header 8. */
const OVERHEAD_BYTES = 28;
/** The kernel takes the first number that is free. */
const FIRST_NAME = 'flannel%d';

export function udpBackend(conf: UdpConf): Backend {
  return {
    type: TYPE,
    advertise({ places }) {
      if (places.every(({ family }) => family === 4)) return Promise.resolve({ backendType: '' });
      const problem = 'udp carries IPv4 only, as flannel’s; for IPv6 take vxlan or host-gw';
      return Promise.reject(new ConfigError('net-conf', 'EnableIPv6', problem));
    },
    overlays: ({ tools }, families) => families.map((settings) => new UdpOverlay(conf, settings, tools)),
  };
}

class UdpOverlay implements Overlay {
  readonly family: Family;
  readonly network: IpPrefix;
  readonly subnet: IpPrefix;
  readonly underlay: string;
  readonly check = 'TUN device and its peers';
  readonly vni = 1;
  readonly underlayIndex = undefined;
  readonly #port: number;
  readonly #settings: FamilySettings;
  readonly #tools: BackendTools;
  readonly #problems: PeerProblems;
  #tun: Tun | undefined;
  #forwarder: UdpForwarder | undefined;
  #device: Device | undefined;
  #mtuBytes = 0;
  #peers: RoutePeers = { peers: [], problems: [] };
  #leases: LeaseSnapshot['leases'] | undefined;

  constructor({ port }: UdpConf, settings: FamilySettings, tools: BackendTools) {
    this.family = settings.family;
    this.network = settings.network;
    this.subnet = settings.subnet;
    this.underlay = settings.underlay;
    this.#port = port;
    this.#settings = settings;
    this.#tools = tools;
    this.#problems = new PeerProblems(tools.log);
  }

  get name(): string {
    return this.#device?.name ?? TYPE;
  }

  get mtuBytes(): number {
    return this.#mtuBytes;
  }

  get peerCount(): number {
    return this.#peers.peers.length + this.#problems.list().length;
  }

  get deviceIndex(): number | undefined {
    return this.#device?.index;
  }

  ensureDevice(): void {
    const { netlink } = this.#tools;
    const repaired = this.#device !== undefined;
    const link = this.#ensureTun(repaired);
    this.#device = link;
    this.#mtuBytes = underlayLink(netlink, this.underlay, TYPE).mtu - OVERHEAD_BYTES;
    const change: LinkChange = {
      index: link.index,
      name: link.name,
      ...(link.mtu !== this.#mtuBytes && { mtu: this.#mtuBytes }),
      ...((link.flags & IFF_UP) === 0 && { up: true }),
    };
    if (change.mtu !== undefined || change.up !== undefined) this.#change('link', setLink(change), 'changed', repaired);
    ensureOwnAddress(netlink, link, this.subnet.ip, this.network, (request, was) => {
      this.#note('address', request, was, repaired);
    });
    this.#ensureRoute(link, repaired);
  }

  /** The device, made anew when somebody has deleted it. */
  #ensureTun(repaired: boolean): Link {
    const { netlink, sys } = this.#tools;
    const known = this.#tun && getLink(netlink, { name: this.#tun.name });
    if (known !== undefined && known.kind === 'tun') return known;
    void this.#tun?.close();
    const tun = openTun(sys, {
      name: this.#device?.name ?? FIRST_NAME,
      onPacket: (packet) => this.#forwarder?.fromKernel(packet),
      // The kernel tells of the end of a device as well, and then it is made anew.
      onError: (error) => this.#tools.log.warn({ dev: tun.name, err: errorText(error) }, 'TUN device lost'),
    });
    this.#tun = tun;
    const cmd = `ip tuntap add dev ${tun.name} mode tun`;
    this.#tools.log.info({ dev: tun.name, cmd }, repaired ? 'device repaired' : 'device set up');
    if (repaired) this.#tools.drift?.note({ object: 'link', place: tun.name, what: tun.name, was: 'missing', cmd });
    const link = getLink(netlink, { name: tun.name });
    if (link !== undefined) return link;
    throw new OpError({ subsystem: TYPE, op: 'create', object: tun.name, code: 'gone', detail: 'removed by someone' });
  }

  /** Own pods are nearer by the bridge's route; everything else of the network goes into the device. */
  #ensureRoute({ index, name }: Device, repaired: boolean): void {
    const { netlink } = this.#tools;
    const routes = listRoutes(netlink, { family: 4, oif: index, table: RT_TABLE_MAIN });
    if (routes.some((route) => samePrefix(route.destination, this.network) && route.gateway === undefined)) return;
    const route = { destination: this.network, oif: index, protocol: WEFT_PROTOCOL, scope: 0 };
    this.#change('route', addRoute(route, name), 'missing', repaired);
  }

  #change(object: 'link' | 'route', request: NetlinkRequest, was: string, repaired: boolean): void {
    this.#tools.netlink.run(request);
    this.#note(object, request, was, repaired);
  }

  #note(object: 'link' | 'route' | 'address', request: NetlinkRequest, was: string, repaired: boolean): void {
    const cmd = request.command?.() ?? request.describe();
    this.#tools.log.info({ dev: this.name, was, cmd }, repaired ? 'device repaired' : 'device set up');
    if (repaired) this.#tools.drift?.note({ object, place: this.name, what: this.name, was, cmd });
  }

  async run(snapshot: LeaseSnapshot): Promise<number | undefined> {
    this.ensureDevice();
    this.#forwarder ??= await this.#openForwarder();
    if (this.#leases !== snapshot.leases) {
      this.#peers = routePeers(snapshot, { ...this.#settings, types: ['', TYPE] });
      this.#leases = snapshot.leases;
    }
    this.#forwarder.setPeers(this.#peers.peers);
    this.#problems.set([...snapshot.problems, ...this.#peers.problems]);
    return undefined;
  }

  #openForwarder(): Promise<UdpForwarder> {
    const { local } = this.#settings;
    return UdpForwarder.open({
      local,
      port: this.#port,
      subnet: this.subnet,
      toKernel: (packet) => this.#tun?.write(packet),
      onError: (error) => this.#tools.log.warn({ dev: this.name, err: errorText(error) }, 'UDP socket in trouble'),
    });
  }

  peerProblems(): PeerProblem[] {
    return this.#problems.list();
  }

  status(): OverlayStatus {
    const problems = this.peerProblems();
    const programmed = this.#forwarder === undefined ? 0 : this.#peers.peers.length;
    return {
      ...(this.#device !== undefined && { device: this.#device.name }),
      family: this.family,
      ...describePlace(this.#settings),
      port: this.#port,
      mtu: this.#mtuBytes,
      peers: { wanted: this.peerCount, programmed, failing: problems.length },
      problems,
    };
  }

  describe(): Readonly<Record<string, string | number>> {
    return { backend: TYPE, ...describePlace(this.#settings), port: this.#port };
  }

  /** The device goes with its descriptor. */
  async close(): Promise<void> {
    await Promise.all([this.#tun?.close(), this.#forwarder?.close()]);
  }
}
