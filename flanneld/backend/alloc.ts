// The alloc backend: a lease, subnet.env and the firewall; how packets find other nodes is somebody else's business
// (flannel pkg/backend/alloc). What the kernel carries is left as it is.

import type { Family, IpPrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { OverlayStatus } from '../health/status/report.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';
import type { Backend } from './backend.ts';
import type { FamilySettings, Overlay } from './overlay.ts';
import { describePlace, underlayLink } from './underlay.ts';

export const alloc: Backend = {
  type: 'alloc',
  // flannel writes no type for it.
  advertise: () => Promise.resolve({ backendType: '' }),
  overlays: ({ tools }, families) => families.map((settings) => new BareOverlay('alloc', settings, tools.netlink)),
};

/** A subnet and the external interface's MTU, without any way to other nodes of its own. */
export class BareOverlay implements Overlay {
  readonly family: Family;
  readonly network: IpPrefix;
  readonly subnet: IpPrefix;
  readonly underlay: string;
  readonly name: string;
  readonly check: string;
  readonly vni = 1;
  readonly peerCount = 0;
  readonly deviceIndex = undefined;
  readonly underlayIndex = undefined;
  readonly #type: string;
  readonly #settings: FamilySettings;
  readonly #netlink: Netlink;
  #mtuBytes = 0;

  constructor(type: string, settings: FamilySettings, netlink: Netlink) {
    this.family = settings.family;
    this.network = settings.network;
    this.subnet = settings.subnet;
    this.underlay = settings.underlay;
    this.name = settings.family === 4 ? type : `${type}-v6`;
    this.check = `IPv${settings.family} subnet over ${settings.underlay}`;
    this.#type = type;
    this.#settings = settings;
    this.#netlink = netlink;
  }

  get mtuBytes(): number {
    return this.#mtuBytes;
  }

  ensureDevice(): void {
    this.#mtuBytes = underlayLink(this.#netlink, this.underlay, this.#type).mtu;
  }

  run(_: LeaseSnapshot): Promise<number | undefined> {
    return new Promise((resolve) => {
      this.ensureDevice();
      resolve(undefined);
    });
  }

  peerProblems(): PeerProblem[] {
    return [];
  }

  status(): OverlayStatus {
    return {
      family: this.family,
      ...describePlace(this.#settings),
      mtu: this.#mtuBytes,
      peers: { wanted: 0, programmed: 0, failing: 0 },
      problems: [],
    };
  }

  describe(): Readonly<Record<string, string | number>> {
    return { backend: this.#type, ...describePlace(this.#settings) };
  }
}
