// A kernel small enough to reason about: neighbours, FDB, nexthop objects and routes with the rules of the real one
// that matter to the data plane (what replaces what, what disappears with what). test/root holds it to the real one.

import { type Change, type Device, type Observed, WEFT_PROTOCOL } from '../../flanneld/dataplane/state.ts';
import { formatIp, formatPrefix } from '../../lib/ip.ts';
import { NTF_SELF, NUD_PERMANENT, RT_TABLE_MAIN, RTN_UNICAST, RTNH_F_ONLINK } from '../../lib/rtnetlink/constants.ts';
import type { FdbEntry } from '../../lib/rtnetlink/fdb.ts';
import type { Neigh } from '../../lib/rtnetlink/neigh.ts';
import type { Nexthop } from '../../lib/rtnetlink/nexthop.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';

export type Errno = 'EEXIST' | 'ENOENT' | 'ESRCH' | 'EINVAL';

export class ModelKernel {
  readonly device: Device;
  readonly neighs = new Map<string, Neigh>();
  readonly fdb = new Map<string, FdbEntry>();
  readonly nexthops = new Map<number, Nexthop>();
  /** By destination and metric, of all devices, as in one table of the real one. */
  readonly routes = new Map<string, Route>();
  readonly hasNexthops: boolean;

  constructor(device: Device, hasNexthops = true) {
    this.device = device;
    this.hasNexthops = hasNexthops;
  }

  observed(): Observed {
    return {
      device: this.device,
      neighs: [...this.neighs.values()],
      fdb: [...this.fdb.values()],
      nexthops: this.hasNexthops ? [...this.nexthops.values()] : undefined,
      routes: [...this.routes.values()].filter((route) => route.oif === this.device.index),
    };
  }

  /** Sends one change as requestOf would spell it; returns the errno of a refusal. */
  apply(change: Change): Errno | undefined {
    switch (change.kind) {
      case 'neigh':
        return this.#applyNeigh(change);
      case 'fdb':
        return this.#applyFdb(change);
      case 'nexthop':
        return this.#applyNexthop(change);
      case 'route':
        return this.#applyRoute(change);
    }
  }

  /** `ip link set address`: every neighbour goes, permanent or not. */
  setMac(): void {
    this.neighs.clear();
  }

  /** `ip link set down` and up: neighbours, routes and nexthops go, the FDB stays. */
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

  addRoute(route: Route): void {
    this.routes.set(routeSlot(route), route);
  }

  #applyNeigh({ want, have }: Extract<Change, { kind: 'neigh' }>): Errno | undefined {
    const { index } = this.device;
    if (want === undefined) {
      return this.neighs.delete(formatIp(expected(have).destination)) ? undefined : 'ENOENT';
    }
    const { destination, mac } = want;
    const entry = { family: destination.family, index, destination, mac, state: NUD_PERMANENT, flags: 0 };
    this.neighs.set(formatIp(destination), entry);
    return undefined;
  }

  #applyFdb({ want, have }: Extract<Change, { kind: 'fdb' }>): Errno | undefined {
    if (want === undefined) return this.fdb.delete(expected(have).mac) ? undefined : 'ENOENT';
    const { mac, destination } = want;
    this.fdb.set(mac, { index: this.device.index, mac, destination, state: NUD_PERMANENT, flags: NTF_SELF });
    return undefined;
  }

  #applyNexthop({ want, have }: Extract<Change, { kind: 'nexthop' }>): Errno | undefined {
    if (want === undefined) return this.deleteNexthop(expected(have).id);
    const { id, gateway } = want;
    if (have === undefined && this.nexthops.has(id)) return 'EEXIST';
    const oif = this.device.index;
    this.nexthops.set(id, { id, gateway, oif, family: gateway.family, protocol: WEFT_PROTOCOL, flags: RTNH_F_ONLINK });
    for (const [key, route] of this.routes)
      if (route.nexthopId === id) this.routes.set(key, { ...route, gateway, oif });
    return undefined;
  }

  #applyRoute({ want, have }: Extract<Change, { kind: 'route' }>): Errno | undefined {
    if (want === undefined) return this.routes.delete(routeSlot(expected(have))) ? undefined : 'ESRCH';
    const { destination, nexthopId } = want;
    const hop = nexthopId === undefined ? undefined : this.nexthops.get(nexthopId);
    if (nexthopId !== undefined && hop === undefined) return 'EINVAL';
    this.addRoute({
      family: destination.ip.family,
      destination,
      gateway: hop?.gateway ?? want.gateway,
      oif: hop?.oif ?? this.device.index,
      ...(nexthopId !== undefined && { nexthopId }),
      table: RT_TABLE_MAIN,
      protocol: WEFT_PROTOCOL,
      scope: 0,
      type: RTN_UNICAST,
      flags: RTNH_F_ONLINK,
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
