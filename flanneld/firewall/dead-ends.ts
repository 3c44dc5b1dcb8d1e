// Routes that refuse packets to pods that do not exist. Without them such packets leave unencapsulated by the default route. `unreachable
// NETWORK` is for addresses of the network that no node has; it is made only with a tunnel, and the sender gets an error. `blackhole
// SUBNET` (--ip-blackhole-route, flannel's option for Canal) is for addresses of this node's subnet that no pod has. Both have the lowest
// priority, so that every other route to the same prefix wins, for instance cni0's.

import { formatPrefix, type IpPrefix, overlaps, samePrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { NetlinkError, type NetlinkRequest } from '../../lib/netlink/request.ts';
import { addRoute, deleteRoute, listRoutes, type Route, type RouteSpec } from '../../lib/rtnetlink/route.ts';
import { RT_TABLE_MAIN, RTN_BLACKHOLE, RTN_UNREACHABLE } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { EEXIST, ESRCH } from '../../lib/sys/errno.ts';
import { WEFT_PROTOCOL } from '../dataplane/objects/kind.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';

/** A higher number means a lower priority. IPv6 takes 0xffffffff for "none", so this is the highest usable one. */
const LOWEST_PRIORITY = 0xfffffffe;
const TYPES: readonly number[] = [RTN_BLACKHOLE, RTN_UNREACHABLE];

export interface DeadEnd {
  /** RTN_BLACKHOLE or RTN_UNREACHABLE. */
  readonly type: number;
  readonly destination: IpPrefix;
}

export interface DeadEndTools {
  readonly netlink: Netlink;
  readonly log: Logger;
  readonly drift: DriftNotes;
}

/** The wanted routes. A network in `open` must not get an unreachable route. */
export function wantedDeadEnds(
  overlays: readonly { readonly network: IpPrefix; readonly subnet: IpPrefix; readonly hasTunnel: boolean }[],
  flags: { readonly blackholeRoute: boolean; readonly unreachableRoute: boolean },
  open: readonly IpPrefix[],
): DeadEnd[] {
  return overlays.flatMap(({ network, subnet, hasTunnel }): DeadEnd[] => {
    const isClosed = flags.unreachableRoute && hasTunnel && !open.some((one) => samePrefix(one, network));
    return [
      ...(flags.blackholeRoute ? [{ type: RTN_BLACKHOLE, destination: subnet }] : []),
      ...(isClosed ? [{ type: RTN_UNREACHABLE, destination: network }] : []),
    ];
  });
}

export class DeadEnds {
  readonly #networks: readonly IpPrefix[];
  readonly #tools: DeadEndTools;
  /** The routes the last run left in place. If one is missing in the next run, somebody has removed it. */
  #kept: readonly DeadEnd[] = [];

  /** Only leftovers in `networks` are removed, because another network's agent may run here, too. */
  constructor(networks: readonly IpPrefix[], tools: DeadEndTools) {
    this.#networks = networks;
    this.#tools = tools;
  }

  /** Makes the wanted routes and removes all others of ours. Throws NetlinkError. */
  ensure(wanted: readonly DeadEnd[]): void {
    const present = this.#list();
    for (const one of wanted) {
      if (present.some((route) => isSame(route, one))) continue;
      const request = addRoute(specOf(one));
      if (!this.#change(request, EEXIST)) continue;
      const wasThere = this.#kept.some((kept) => isSame(kept, one));
      this.#note(one, 'added', request, wasThere);
    }
    for (const route of present) {
      const { type, destination } = route;
      const one = { type, destination };
      if (wanted.some((other) => isSame(other, one))) continue;
      const request = deleteRoute(specOf(one));
      if (this.#change(request, ESRCH)) this.#note(one, 'removed', request, false);
    }
    this.#kept = wanted;
  }

  /** Our routes in the kernel, including those of an earlier subnet or of a flag that is now off. */
  #list(): Route[] {
    const families = new Set(this.#networks.map(({ ip }) => ip.family));
    const filters = [...families].flatMap((family) => TYPES.map((type) => ({ family, type })));
    return filters
      .flatMap((filter) =>
        listRoutes(this.#tools.netlink, { ...filter, table: RT_TABLE_MAIN, protocol: WEFT_PROTOCOL }),
      )
      .filter(({ priority, destination }) => {
        return priority === LOWEST_PRIORITY && this.#networks.some((network) => overlaps(network, destination));
      });
  }

  /** Returns false when somebody else did the same meanwhile. */
  #change(request: NetlinkRequest, done: number): boolean {
    try {
      this.#tools.netlink.run(request);
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === done) return false;
      throw error;
    }
  }

  #note({ type, destination }: DeadEnd, did: string, request: NetlinkRequest, isDrift: boolean): void {
    const { log, drift } = this.#tools;
    const name = type === RTN_BLACKHOLE ? 'blackhole' : 'unreachable';
    const what = `${name} ${formatPrefix(destination)}`;
    const cmd = request.command?.() ?? request.describe();
    log.info({ route: what, cmd }, `${name} route ${did}`);
    if (isDrift) drift.note({ object: 'route', place: 'main', what, was: 'missing', cmd });
  }
}

function specOf({ type, destination }: DeadEnd): RouteSpec {
  return { type, destination, table: RT_TABLE_MAIN, protocol: WEFT_PROTOCOL, priority: LOWEST_PRIORITY };
}

function isSame(a: Pick<RouteSpec, 'type' | 'destination'>, b: DeadEnd): boolean {
  return a.type === b.type && samePrefix(a.destination, b.destination);
}
