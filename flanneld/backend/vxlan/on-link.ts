// DirectRouting of the vxlan backend: peers on the external interface's own link get a route there instead of the
// tunnel. The kernel says who they are; it is asked again whenever anything of the underlay changes. Differs from
// flannel: the answer is not taken once and for good, and a route that is lost comes back (#1070, #1759).

import { breathe, type Clock } from '../../../lib/clock-node.ts';
import type { Ip } from '../../../lib/ip.ts';
import type { Netlink } from '../../../lib/netlink/connection.ts';
import { NetlinkError } from '../../../lib/netlink/request.ts';
import { RTN_UNICAST } from '../../../lib/rtnetlink/constants.ts';
import { getRoute } from '../../../lib/rtnetlink/route.ts';
import type { Device } from '../../dataplane/objects/kind.ts';

/** Route lookups between two turns of other work. */
const STEP = 200;
/** Without any event the kernel is asked again after this, for what no event tells: rules of policy routing. */
const ASK_AGAIN_MS = 25_000;

export class OnLink {
  readonly #netlink: Netlink;
  readonly #clock: Clock;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** By public IP: whether it lies on the link. */
  #answers = new Map<bigint, boolean>();
  #onLink: ReadonlySet<bigint> = new Set();

  constructor(netlink: Netlink, clock: Clock) {
    this.#netlink = netlink;
    this.#clock = clock;
  }

  /** The addresses among those of `peers` that are on the link. The same set as long as the answer is the same. */
  async ask(
    peers: Iterable<{ readonly publicIp: Ip }>,
    device: Device,
    isRerouted: boolean,
  ): Promise<ReadonlySet<bigint>> {
    // Only of addresses that are still a peer's are answers kept.
    const before = isRerouted || this.#isStale() ? new Map<bigint, boolean>() : this.#answers;
    const answers = new Map<bigint, boolean>();
    let asked = 0;
    for (const { publicIp } of peers) {
      const known = before.get(publicIp.value);
      answers.set(publicIp.value, known ?? isOnLink(this.#netlink, publicIp, device));
      if (known === undefined && ++asked % STEP === 0) await breathe();
    }
    this.#answers = answers;
    const onLink = new Set([...answers].flatMap(([ip, isThere]) => (isThere ? [ip] : [])));
    if (!sameSet(onLink, this.#onLink)) this.#onLink = onLink;
    return this.#onLink;
  }

  #isStale(): boolean {
    const nowMs = this.#clock.now();
    if (nowMs - this.#askedMs < ASK_AGAIN_MS) return false;
    this.#askedMs = nowMs;
    return true;
  }
}

function sameSet(a: ReadonlySet<bigint>, b: ReadonlySet<bigint>): boolean {
  return a.size === b.size && [...a].every((value) => b.has(value));
}

/** Whether packets to `ip` leave by `device` without a gateway. */
function isOnLink(netlink: Netlink, ip: Ip, device: Device): boolean {
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
