// DirectRouting: peers on the external interface's own link get a route there instead of the tunnel. A route look-up in the kernel shows
// which peers these are. Differs from flannel, which asks only once: the look-up is repeated whenever the underlay changes, and a lost
// route is restored (#1070, #1759).

import { breathe, type Clock } from '../../lib/clock-node.ts';
import type { Ip } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { NetlinkError } from '../../lib/netlink/request.ts';
import { getRoute } from '../../lib/rtnetlink/route.ts';
import { RTN_UNICAST } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Device } from '../dataplane/objects/kind.ts';

/** After this many route lookups other work gets its turn. */
const STEP = 200;
/** How often the kernel is asked again without an event. Changed policy routing rules, for instance, cause none. */
const ASK_AGAIN_MS = 25_000;

export class OnLink {
  readonly #netlink: Netlink;
  readonly #clock: Clock;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** Whether each public IP is on the link. */
  #answers = new Map<bigint, boolean>();
  #onLink: ReadonlySet<bigint> = new Set();

  constructor(netlink: Netlink, clock: Clock) {
    this.#netlink = netlink;
    this.#clock = clock;
  }

  /** The addresses of `peers` that are on the link. Returns the same set as long as the answer is the same. */
  async ask(
    peers: Iterable<{ readonly publicIp: Ip }>,
    device: Device,
    isRerouted: boolean,
  ): Promise<ReadonlySet<bigint>> {
    // Answers are kept only for addresses of present peers.
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

/** The peers, of which those on the link are marked as direct. */
export function withDirect<P extends { readonly publicIp: Ip }>(
  peers: ReadonlyMap<string, P>,
  onLink: ReadonlySet<bigint>,
): ReadonlyMap<string, P & { readonly isDirect?: boolean }> {
  const all = new Map<string, P & { readonly isDirect?: boolean }>();
  for (const [key, peer] of peers) all.set(key, onLink.has(peer.publicIp.value) ? { ...peer, isDirect: true } : peer);
  return all;
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
    // The lookup ended in a blackhole or prohibit route. Tunnel packets do not leave either, but that is not decided here.
    if (error instanceof NetlinkError) return false;
    throw error;
  }
}
