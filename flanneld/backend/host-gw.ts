// The host-gw backend: no tunnel, no device; each peer's subnet is routed to its public IP over the external interface,
// on whose link all nodes must be (flannel pkg/backend/hostgw). Differs from flannel: routes of others are left alone,
// and what a peer lacks is looked for at once and shown.

import { ConfigError } from '../../lib/errors.ts';
import { type Family, formatIp, type IpPrefix, sameIp } from '../../lib/ip.ts';
import { type RoutePeers, routePeers } from '../dataplane/route-peer.ts';
import { RouteReconciler } from '../dataplane/route-reconciler.ts';
import type { Device } from '../dataplane/state.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { OverlayStatus } from '../health/status/report.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';
import type { Backend } from './backend.ts';
import { type FamilySettings, kernelChanged, type Overlay, type OverlayTools } from './overlay.ts';
import { PeerProblems } from './peer-problems.ts';
import { describePlace, underlayLink } from './underlay.ts';

const TYPE = 'host-gw';
const MOVING: ReadonlySet<bigint> = new Set();

export const hostGw: Backend = {
  type: TYPE,
  checkPlaces(places) {
    for (const { underlay, local, publicIp } of places) {
      if (sameIp(local, publicIp)) continue;
      const why = `${formatIp(publicIp)} is to be advertised, but ${underlay} has ${formatIp(local)}`;
      const problem = `host-gw needs nodes that reach each other without NAT: ${why}; vxlan works`;
      throw new ConfigError('net-conf', 'Backend.Type', problem);
    }
  },
  advertise: () => Promise.resolve({ backendType: TYPE }),
  overlays: ({ tools }, families) => families.map((settings) => new HostGwOverlay(settings, tools)),
};

class HostGwOverlay implements Overlay {
  readonly family: Family;
  readonly network: IpPrefix;
  readonly subnet: IpPrefix;
  readonly underlay: string;
  readonly name: string;
  readonly check: string;
  readonly vni = 1;
  readonly deviceIndex = undefined;
  readonly #settings: FamilySettings;
  readonly #tools: OverlayTools;
  readonly #routes: RouteReconciler;
  readonly #problems: PeerProblems;
  #peers: RoutePeers = { peers: [], problems: [] };
  #leases: LeaseSnapshot['leases'] | undefined;
  #device: Device | undefined;
  #mtuBytes = 0;

  constructor(settings: FamilySettings, tools: OverlayTools) {
    this.family = settings.family;
    this.network = settings.network;
    this.subnet = settings.subnet;
    this.underlay = settings.underlay;
    this.name = settings.family === 4 ? TYPE : `${TYPE}-v6`;
    this.check = `routes to IPv${settings.family} peers on ${settings.underlay}`;
    this.#settings = settings;
    this.#tools = tools;
    this.#routes = new RouteReconciler(tools);
    this.#problems = new PeerProblems(tools.log);
  }

  get mtuBytes(): number {
    return this.#mtuBytes;
  }

  get peerCount(): number {
    return this.#peers.peers.length + this.#problems.list().length;
  }

  get underlayIndex(): number | undefined {
    return this.#device?.index;
  }

  ensureDevice(): void {
    this.#lookUp();
  }

  #lookUp(): Device {
    const link = underlayLink(this.#tools.netlink, this.underlay, TYPE);
    this.#mtuBytes = link.mtu;
    this.#device = link;
    return link;
  }

  async run(snapshot: LeaseSnapshot, woken: ReadonlySet<string>): Promise<number | undefined> {
    const device = this.#lookUp();
    if (this.#leases !== snapshot.leases) {
      this.#peers = routePeers(snapshot, { ...this.#settings, types: [TYPE] });
      this.#leases = snapshot.leases;
    }
    const { peers, problems } = this.#peers;
    this.#problems.set([...snapshot.problems, ...problems]);
    const { family, network } = this.#settings;
    return await this.#routes.run({ device, family, network, peers, moving: MOVING, retryNow: kernelChanged(woken) });
  }

  peerProblems(): PeerProblem[] {
    return [...this.#problems.list(), ...this.#routes.problems()];
  }

  status(): OverlayStatus {
    const { programmed } = this.#routes;
    const wanted = this.peerCount;
    return {
      family: this.family,
      ...describePlace(this.#settings),
      mtu: this.#mtuBytes,
      peers: { wanted, programmed, failing: wanted - programmed, direct: programmed },
      problems: this.peerProblems(),
    };
  }

  describe(): Readonly<Record<string, string | number>> {
    return { backend: TYPE, ...describePlace(this.#settings) };
  }
}
