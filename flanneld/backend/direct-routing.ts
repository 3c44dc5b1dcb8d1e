// DirectRouting of the vxlan backend: peers on the external interface's own link get a route there instead of the
// tunnel. The kernel says who they are; it is asked again whenever anything of the underlay changes. Differs from
// flannel: the answer is not taken once and for good, and a route that is lost comes back (#1070, #1759).

import { breathe } from '../../lib/clock-node.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { NetlinkError } from '../../lib/netlink/request.ts';
import { RTN_UNICAST } from '../../lib/rtnetlink/constants.ts';
import { getRoute } from '../../lib/rtnetlink/route.ts';
import { peersAmong } from '../dataplane/desired.ts';
import type { OverlayConfig, Peer } from '../dataplane/peer.ts';
import type { Device } from '../dataplane/state.ts';
import { routeKey } from '../dataplane/state.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { Lease, LeaseSnapshot } from '../subnet/manager.ts';

export interface Split {
  /** To be reached directly. */
  readonly direct: readonly Peer[];
  /** All other leases, also those at fault. */
  readonly tunnelled: ReadonlyMap<string, Lease>;
  /** Leases that cannot be programmed beside one that is reached directly. */
  readonly problems: readonly PeerProblem[];
  /** Destinations of those that are tunnelled. */
  readonly moving: ReadonlySet<bigint>;
}

/** Route lookups between two turns of other work. */
const STEP = 200;

export class DirectRouting {
  readonly #netlink: Netlink;
  /** By public IP: whether it lies on the link. */
  #onLink = new Map<bigint, boolean>();
  #known:
    | {
        leases: ReadonlyMap<string, Lease>;
        config: OverlayConfig;
        peers: readonly Peer[];
        problems: readonly PeerProblem[];
      }
    | undefined;
  #last: { known: object; directKeys: string; split: Split } | undefined;

  constructor(netlink: Netlink) {
    this.#netlink = netlink;
  }

  /** Who is reached how. The same object as long as nothing changed; `askAgain` when the underlay may have. */
  async split({ leases }: LeaseSnapshot, config: OverlayConfig, device: Device, askAgain: boolean): Promise<Split> {
    if (this.#known?.leases !== leases || !sameConfig(this.#known.config, config)) {
      this.#known = { leases, config, ...peersAmong(leases, config) };
    }
    const known = this.#known;
    await this.#ask(known.peers, device, askAgain);
    const direct = known.peers.filter(({ publicIp }) => this.#onLink.get(publicIp.value) === true);
    const directKeys = direct.map(({ key }) => key).join('\n');
    if (this.#last?.known === known && this.#last.directKeys === directKeys) return this.#last.split;
    const split = splitBy(known, direct);
    this.#last = { known, directKeys, split };
    return split;
  }

  /** Asks the kernel for those it was not asked for yet, or for all; forgets whom nobody asks for. */
  async #ask(peers: readonly Peer[], device: Device, askAgain: boolean): Promise<void> {
    const before = askAgain ? new Map<bigint, boolean>() : this.#onLink;
    const onLink = new Map<bigint, boolean>();
    let asked = 0;
    for (const { publicIp } of peers) {
      const known = before.get(publicIp.value);
      onLink.set(publicIp.value, known ?? isOnLink(this.#netlink, publicIp, device));
      if (known === undefined && ++asked % STEP === 0) await breathe();
    }
    this.#onLink = onLink;
  }
}

function splitBy(
  {
    leases,
    peers,
    problems,
  }: { leases: ReadonlyMap<string, Lease>; peers: readonly Peer[]; problems: readonly PeerProblem[] },
  direct: readonly Peer[],
): Split {
  const left = new Set(direct.map(({ key }) => key));
  const moving = new Set(peers.filter(({ key }) => !left.has(key)).map(({ subnet }) => routeKey(subnet)));
  if (direct.length === 0) return { direct, tunnelled: leases, problems: [], moving };
  for (const { key } of problems) left.add(key);
  return { direct, tunnelled: new Map([...leases].filter(([key]) => !left.has(key))), problems, moving };
}

function sameConfig(a: OverlayConfig, b: OverlayConfig): boolean {
  return (Object.keys(a) as (keyof OverlayConfig)[]).every((key) => a[key] === b[key]);
}

/** Whether packets to `ip` leave by `device` without a gateway. */
function isOnLink(netlink: Netlink, ip: Peer['publicIp'], device: Device): boolean {
  try {
    const route = getRoute(netlink, ip);
    return (
      route !== undefined && route.type === RTN_UNICAST && route.gateway === undefined && route.oif === device.index
    );
  } catch (error) {
    // A blackhole or a prohibit: then not even the tunnel's packets leave, but that is not decided here.
    if (error instanceof NetlinkError) return false;
    throw error;
  }
}
