// The udp backend: every packet passes through the agent, from a TUN device into a datagram. It is for nodes whose kernel has no VXLAN, and
// for clusters that use flannel's udp. Unlike the others it forwards nothing while the agent is down.

import { ConfigError, errorText, OpError } from '../../../lib/errors.ts';
import { getLink, type Link, type LinkChange, setLink } from '../../../lib/rtnetlink/link.ts';
import { IFF_UP, RT_SCOPE_UNIVERSE } from '../../../lib/rtnetlink/rtnetlink-constants.ts';
import { openTun, type Tun } from '../../../lib/sys/tun-node.ts';
import { type Device, type WantedObject, wanted } from '../../dataplane/objects/kind.ts';
import type { Plan } from '../../dataplane/plan.ts';
import type { LeaseSnapshot } from '../../subnet/manager.ts';
import type { Backend, BackendTools, BackendType, FamilySettings, OnDeviceChange, OverlaySpec } from '../backend.ts';
import { ensureOwnAddress } from '../device-address.ts';
import { onceOnly, removeFormerRoutes } from '../moving/former-routes.ts';
import { ensureNetworkRoute } from '../network-route.ts';
import { portKey, readPort } from '../port-key.ts';
import { type RoutePeer, routePlanner } from '../route-peer.ts';
import { UdpForwarder } from './udp-forwarder.ts';
import { UdpPeers } from './udp-peers.ts';

const TYPE = 'udp';
/** flannel's default. */
const PORT = 8285;
/** IPv4 header 20, UDP header 8. */
const OVERHEAD_BYTES = 28;
/** The kernel replaces %d by the first free number. */
const FIRST_NAME = 'flannel%d';

interface UdpConf {
  /** UDP port of every node, 1–65535. */
  readonly port: number;
}

export const udp: BackendType<UdpConf> = {
  type: TYPE,
  keys: { Port: portKey(PORT) },
  readKeys: (place) => ({ port: readPort(place, PORT) }),
  make: udpBackend,
};

function udpBackend(conf: UdpConf): Backend {
  return {
    type: TYPE,
    advertise({ places }) {
      if (places.every(({ family }) => family === 4)) return Promise.resolve({ backendType: '' });
      const problem = 'the backend udp carries only IPv4, as flannel’s does; for IPv6 use vxlan or host-gw';
      return Promise.reject(new ConfigError('net-conf', 'EnableIPv6', problem));
    },
    overlays: ({ tools }, families) => families.map((settings) => new UdpOverlay(conf, settings, tools)),
  };
}

class UdpOverlay implements OverlaySpec<RoutePeer> {
  readonly settings: FamilySettings;
  readonly check = 'TUN device and its peers';
  readonly kinds: readonly [UdpPeers];
  readonly #port: number;
  readonly #tools: BackendTools;
  readonly #planner: (snapshot: LeaseSnapshot) => Plan<RoutePeer>;
  readonly #leaveFormer: (given: { readonly device: Device; readonly onChange: OnDeviceChange }) => void;
  #tun: Tun | undefined;
  #forwarder: UdpForwarder | undefined;
  #device: Device | undefined;

  constructor({ port }: UdpConf, settings: FamilySettings, tools: BackendTools) {
    this.settings = settings;
    this.kinds = [new UdpPeers(() => this.#forwarder)];
    this.#port = port;
    this.#tools = tools;
    this.#leaveFormer = onceOnly(({ device, onChange }) =>
      removeFormerRoutes(tools.netlink, settings.network, device, onChange),
    );
    this.#planner = routePlanner({ ...settings, types: ['', TYPE] });
  }

  get openPort() {
    return { port: this.#port, isVxlan: false };
  }

  get name(): string {
    return this.#device?.name ?? TYPE;
  }

  mtu(underlay: Link): number {
    return underlay.mtu - OVERHEAD_BYTES;
  }

  ensureDevice(_: Link, mtu: number, onChange: OnDeviceChange): Device {
    const { netlink } = this.#tools;
    const { subnet, network } = this.settings;
    const link = this.#ensureTun(onChange);
    this.#device = link;
    const change: LinkChange = {
      index: link.index,
      name: link.name,
      ...(link.mtu !== mtu && { mtu }),
      ...((link.flags & IFF_UP) === 0 && { up: true }),
    };
    if (change.mtu !== undefined || change.up !== undefined) {
      const request = setLink(change);
      netlink.run(request);
      onChange('link', request, 'changed');
    }
    ensureOwnAddress(netlink, link, subnet.ip, network, (request, was) => onChange('address', request, was));
    // Routes to single peers would lead past the device, and one to the network stands in the way of the device’s own.
    this.#leaveFormer({ device: link, onChange });
    ensureNetworkRoute(netlink, link, network, onChange, { scope: RT_SCOPE_UNIVERSE });
    return link;
  }

  /** Returns the device; makes it again when somebody has deleted it. */
  #ensureTun(onChange: OnDeviceChange): Link {
    const { netlink, sys } = this.#tools;
    const known = this.#tun && getLink(netlink, { name: this.#tun.name });
    if (known !== undefined && known.kind === 'tun') return known;
    void this.#tun?.close();
    const tun = openTun(sys, {
      name: this.#device?.name ?? FIRST_NAME,
      onPacket: (packet) => this.#forwarder?.fromKernel(packet),
      // Only a warning: the kernel also sends an event when the device goes, and then the agent makes it again.
      onError: (error) => this.#tools.log.warn({ dev: tun.name, err: errorText(error) }, 'TUN device lost'),
    });
    this.#tun = tun;
    const link = getLink(netlink, { name: tun.name });
    if (link === undefined) {
      const detail = 'removed by another program';
      throw new OpError({ subsystem: TYPE, op: 'create', object: tun.name, code: 'gone', detail });
    }
    this.#device = link;
    const cmd = `ip tuntap add dev ${tun.name} mode tun`;
    onChange('link', { describe: () => cmd, command: () => cmd }, 'missing');
    return link;
  }

  objects(peer: RoutePeer): readonly WantedObject[] {
    return this.kinds.map((kind) => wanted(kind, peer));
  }

  async plan(snapshot: LeaseSnapshot): Promise<Plan<RoutePeer>> {
    this.#forwarder ??= await this.#openForwarder();
    return this.#planner(snapshot);
  }

  #openForwarder(): Promise<UdpForwarder> {
    const { local, subnet } = this.settings;
    return UdpForwarder.open({
      local,
      port: this.#port,
      subnet,
      toKernel: (packet) => this.#tun?.write(packet),
      onError: (error) => this.#tools.log.warn({ dev: this.name, err: errorText(error) }, 'UDP socket in trouble'),
    });
  }

  facts(): { port: number } {
    return { port: this.#port };
  }

  /** The kernel removes the device when its descriptor is closed. */
  async close(): Promise<void> {
    await Promise.all([this.#tun?.close(), this.#forwarder?.close()]);
  }
}
