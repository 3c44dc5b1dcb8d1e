// A model of the kernel with neighbours, FDB, nexthop objects and routes, and with those rules of the real kernel that matter to
// the data plane: what replaces what, and what disappears with what. Tests in test/root compare it with the real kernel.

import { fdb, type WantedFdb } from '../../flanneld/dataplane/objects/fdb.ts';
import {
  type AnyKind,
  type Device,
  type ObjectKey,
  type Place,
  WEFT_PROTOCOL,
} from '../../flanneld/dataplane/objects/kind.ts';
import { neigh, type WantedNeigh } from '../../flanneld/dataplane/objects/neigh.ts';
import { nexthop, type WantedNexthop } from '../../flanneld/dataplane/objects/nexthop.ts';
import { isReservedNexthopId } from '../../flanneld/dataplane/objects/nexthop-ids.ts';
import { route, type WantedRoute } from '../../flanneld/dataplane/objects/route.ts';
import type { Change } from '../../flanneld/dataplane/plan.ts';
import { formatIp, formatPrefix, parsePrefix } from '../../lib/ip.ts';
import type { FdbEntry } from '../../lib/rtnetlink/fdb.ts';
import type { Neigh } from '../../lib/rtnetlink/neigh.ts';
import type { Nexthop } from '../../lib/rtnetlink/nexthop.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';
import {
  NTF_SELF,
  NUD_PERMANENT,
  RT_TABLE_MAIN,
  RTN_UNICAST,
  RTNH_F_ONLINK,
} from '../../lib/rtnetlink/rtnetlink-constants.ts';
import type { Present } from './whole-compare.ts';

export type Errno = 'EEXIST' | 'ENOENT' | 'ESRCH' | 'EINVAL';

export class ModelKernel implements Present {
  readonly device: Device;
  readonly place: Place;
  readonly neighs = new Map<string, Neigh>();
  readonly fdb = new Map<string, FdbEntry>();
  readonly nexthops = new Map<number, Nexthop>();
  /** Routes by destination and metric, for all devices, as in one table of the real kernel. */
  readonly routes = new Map<string, Route>();
  readonly hasNexthops: boolean;

  constructor(device: Device, hasNexthops = true) {
    this.device = device;
    this.hasNexthops = hasNexthops;
    const underlay = { index: 3, name: 'eth0' };
    this.place = { family: 4, network: parsePrefix('10.244.0.0/16'), tunnel: device, underlay };
  }

  /** Returns the entries of a kind, as a mirror has them after it has listed everything. */
  entries(kind: AnyKind): [ObjectKey, unknown][] {
    return this.#present(kind).map((have) => [kind.presentKey(have), have]);
  }

  #present({ name }: { readonly name: string }): unknown[] {
    switch (name) {
      case neigh.name:
        return [...this.neighs.values()];
      case fdb.name:
        return [...this.fdb.values()];
      case nexthop.name:
        return this.hasNexthops ? [...this.nexthops.values()].filter(({ id }) => isReservedNexthopId(id)) : [];
      default:
        return [...this.routes.values()].filter((have) => route.isOurs(have, this.place));
    }
  }

  /** Makes one change that an object kind requests. Returns the errno if it is refused. */
  apply({ kind, want, have }: Change): Errno | undefined {
    switch (kind.name) {
      case neigh.name:
        return this.#applyNeigh(want as WantedNeigh | undefined, have as Neigh | undefined);
      case fdb.name:
        return this.#applyFdb(want as WantedFdb | undefined, have as FdbEntry | undefined);
      case nexthop.name:
        return this.#applyNexthop(want as WantedNexthop | undefined, have as Nexthop | undefined);
      default:
        return this.#applyRoute(want as WantedRoute | undefined, have as Route | undefined);
    }
  }

  /** Does what `ip link set address` does: all neighbours are removed, even permanent ones. */
  setMac(): void {
    this.neighs.clear();
  }

  /** Does what `ip link set down` and up do: neighbours, routes and nexthops are removed, the FDB stays. */
  bounce(): void {
    this.neighs.clear();
    for (const [id, { oif }] of this.nexthops) if (oif === this.device.index) this.deleteNexthop(id);
    for (const [key, { oif }] of this.routes) if (oif === this.device.index) this.routes.delete(key);
  }

  deleteNexthop(id: number): Errno | undefined {
    if (!this.nexthops.delete(id)) return 'ENOENT';
    for (const [key, { nexthopId }] of this.routes) if (nexthopId === id) this.routes.delete(key);
    return undefined;
  }

  addRoute(one: Route): void {
    this.routes.set(routeSlot(one), one);
  }

  #applyNeigh(want: WantedNeigh | undefined, have: Neigh | undefined): Errno | undefined {
    const { index } = this.device;
    if (want === undefined) {
      return this.neighs.delete(formatIp(expected(have).destination)) ? undefined : 'ENOENT';
    }
    const { destination, mac } = want;
    const entry = { family: destination.family, index, destination, mac, state: NUD_PERMANENT, flags: 0 };
    this.neighs.set(formatIp(destination), entry);
    return undefined;
  }

  #applyFdb(want: WantedFdb | undefined, have: FdbEntry | undefined): Errno | undefined {
    if (want === undefined) return this.fdb.delete(expected(have).mac) ? undefined : 'ENOENT';
    const { mac, destination } = want;
    this.fdb.set(mac, { index: this.device.index, mac, destination, state: NUD_PERMANENT, flags: NTF_SELF });
    return undefined;
  }

  #applyNexthop(want: WantedNexthop | undefined, have: Nexthop | undefined): Errno | undefined {
    if (want === undefined) return this.deleteNexthop(expected(have).id);
    const { id, gateway } = want;
    if (have === undefined && this.nexthops.has(id)) return 'EEXIST';
    const oif = this.device.index;
    this.nexthops.set(id, { id, gateway, oif, family: gateway.family, protocol: WEFT_PROTOCOL, flags: RTNH_F_ONLINK });
    for (const [key, one] of this.routes) if (one.nexthopId === id) this.routes.set(key, { ...one, gateway, oif });
    return undefined;
  }

  #applyRoute(want: WantedRoute | undefined, have: Route | undefined): Errno | undefined {
    if (want === undefined) return this.routes.delete(routeSlot(expected(have))) ? undefined : 'ESRCH';
    const { destination, nexthopId, by } = want;
    const hop = nexthopId === undefined ? undefined : this.nexthops.get(nexthopId);
    if (nexthopId !== undefined && hop === undefined) return 'EINVAL';
    const device = by === 'tunnel' ? this.device : this.place.underlay;
    this.addRoute({
      family: destination.ip.family,
      destination,
      gateway: hop?.gateway ?? want.gateway,
      oif: hop?.oif ?? device.index,
      ...(nexthopId !== undefined && { nexthopId }),
      table: RT_TABLE_MAIN,
      protocol: WEFT_PROTOCOL,
      scope: 0,
      type: RTN_UNICAST,
      flags: by === 'tunnel' ? RTNH_F_ONLINK : 0,
    });
    return undefined;
  }
}

function routeSlot({ destination, priority }: Route): string {
  return `${formatPrefix(destination)} metric ${priority ?? 0}`;
}

function expected<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a removal without the object it removes');
  return value;
}
