// --ip-blackhole-route: packets for an address of this node's subnet that no pod has end here, instead of leaving by the
// default route and coming back (flannel's option for Canal). Differs from flannel: the route has the lowest priority, so
// that the bridge's own route to the same subnet wins; it is back at once, not after a period; without the flag it goes.

import { formatPrefix, type IpPrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { NetlinkError, type NetlinkRequest } from '../../lib/netlink/request.ts';
import { RTN_BLACKHOLE } from '../../lib/rtnetlink/constants.ts';
import { addRoute, deleteRoute, type RouteSpec } from '../../lib/rtnetlink/route.ts';
import { EEXIST, ESRCH } from '../../lib/sys/errno.ts';
import { WEFT_PROTOCOL } from '../dataplane/state.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';

/** The higher the number, the later the route counts; 0xffffffff means "none" to IPv6. */
const LOWEST_PRIORITY = 0xfffffffe;

export interface BlackholeTools {
  readonly netlink: Netlink;
  readonly log: Logger;
  readonly drift: DriftNotes;
}

export class BlackholeRoutes {
  readonly #wanted: boolean;
  readonly #routes: readonly RouteSpec[];
  readonly #tools: BlackholeTools;
  #isFirst = true;

  constructor(wanted: boolean, subnets: readonly IpPrefix[], tools: BlackholeTools) {
    this.#wanted = wanted;
    this.#tools = tools;
    const common = { type: RTN_BLACKHOLE, protocol: WEFT_PROTOCOL, priority: LOWEST_PRIORITY };
    this.#routes = subnets.map((destination) => ({ destination, ...common }));
  }

  /** Makes them exist, or once not exist. Throws NetlinkError. */
  ensure(): void {
    if (!this.#wanted && !this.#isFirst) return;
    for (const route of this.#routes) {
      if (this.#wanted) this.#change(addRoute(route), EEXIST, route);
      else this.#change(deleteRoute(route), ESRCH, route);
    }
    this.#isFirst = false;
  }

  #change(request: NetlinkRequest, done: number, { destination }: RouteSpec): void {
    const { netlink, log, drift } = this.#tools;
    try {
      netlink.run(request);
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === done) return;
      throw error;
    }
    const what = `blackhole ${formatPrefix(destination)}`;
    const cmd = request.command?.() ?? request.describe();
    log.info({ route: what, cmd }, this.#wanted ? 'blackhole route added' : 'blackhole route removed');
    if (!this.#isFirst) drift.note({ object: 'route', place: 'main', what, was: 'missing', cmd });
  }
}
