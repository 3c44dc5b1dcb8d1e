// What is probed: each other node once in each address family, and this node's own side of it.

import { breathe } from '../../lib/clock-node.ts';
import { addToIp, broadcastOf, type Family, type Ip, type IpPrefix } from '../../lib/ip.ts';
import type { Mac } from '../../lib/mac.ts';
import { changesBetween } from '../../lib/versioned-map.ts';
import type { TunnelWay } from '../dataplane/tunnel-way.ts';
import type { Lease } from '../subnet/manager.ts';

/** A peer by its lease; all addresses have the place's family. */
export interface LeasedPeer {
  readonly subnet: IpPrefix;
  readonly publicIp: Ip;
  /** The MAC of its VTEP; absent where the tunnel is not VXLAN. */
  readonly mac?: Mac;
}

/** This node's side of one overlay. */
export interface ProbePlace {
  readonly family: Family;
  /** This node's own subnet; its first address is that of the tunnel device. */
  readonly subnet: IpPrefix;
  /** The tunnel and its device. Without a VNI no packet of it can be made by hand. */
  readonly tunnel: TunnelWay;
  /** The MAC of the tunnel device, if it has one. */
  readonly mac?: Mac;
  /** MTU of pods. */
  readonly mtu: number;
  /** The external interface and its address, from which packets to other nodes are sent. */
  readonly iface: string;
  readonly local: Ip;
  /** Indexes of the tunnel device and of the external interface. Probes that arrive by another device are not answered. */
  readonly ifindexes: readonly number[];
}

/** The same, with a function that reads leases, for the agent's loop. */
export interface LeasedPlace extends ProbePlace {
  /** Reads a lease; undefined for this node's own and for one that cannot be used, which is reported elsewhere. Does not throw. */
  readonly readPeer: (key: string, lease: Lease) => LeasedPeer | undefined;
}

/** Another node, in one family. */
export interface Target extends LeasedPeer {
  /** Unique: family and name. */
  readonly id: string;
  /** The key of its lease. */
  readonly peer: string;
  readonly family: Family;
  /** The address of its tunnel device: the first of its subnet. */
  readonly vtep: Ip;
  /** Addresses from which it may send. */
  readonly addresses: readonly Ip[];
}

/** The address of this node's tunnel device. */
export function ownVtep({ subnet }: ProbePlace): Ip {
  return subnet.ip;
}

/** A peer as a target. `more`: further addresses of its node. */
export function targetOf(key: string, { subnet, publicIp, mac }: LeasedPeer, more: readonly Ip[] = []): Target {
  const { family } = subnet.ip;
  const addresses = [publicIp, ...more.filter((one) => one.family === family)];
  return {
    id: `${family} ${key}`,
    peer: key,
    family,
    subnet,
    vtep: subnet.ip,
    publicIp,
    ...(mac && { mac }),
    addresses,
  };
}

function targetOfLease(key: string, lease: Lease, { readPeer }: LeasedPlace): Target | undefined {
  const peer = readPeer(key, lease);
  return peer && targetOf(key, peer, lease.hostAddresses);
}

/** An address of the peer's subnet that is hardly ever a pod's and never the node's own; undefined in a tiny subnet. */
export function unusedAddress({ subnet, family }: Target): Ip | undefined {
  const bits = (family === 4 ? 32 : 128) - subnet.length;
  return bits < 3 ? undefined : addToIp(broadcastOf(subnet), -1);
}

type Leases = ReadonlyMap<string, Lease>;

/** So many leases are read in a few milliseconds. */
const AT_ONCE = 500;

interface Read {
  readonly lease: Lease;
  readonly target: Target | undefined;
}

/** Keeps the targets of all leases. A lease that did not change is not read again. */
export class Targets {
  readonly #place: LeasedPlace;
  #read = new Map<string, Read>();

  constructor(place: LeasedPlace) {
    this.#place = place;
  }

  get family(): Family {
    return this.#place.family;
  }

  /**
   * The targets whose leases have changed since `earlier`, which are the leases at the last call of `changes` or `update`; undefined when a
   * target has come or gone, so that `update` is needed.
   */
  changes(earlier: Leases, leases: Leases): readonly TargetChange[] | undefined {
    const read: [key: string, Read][] = [];
    const changes: TargetChange[] = [];
    for (const { key, after: lease } of changesBetween(earlier, leases)) {
      const known = this.#read.get(key);
      if (lease === undefined || known === undefined) return undefined;
      const after = targetOfLease(key, lease, this.#place);
      const before = known.target;
      if (before?.id !== after?.id) return undefined;
      if (before !== undefined && after !== undefined) changes.push({ before, after });
      read.push([key, { lease, target: after }]);
    }
    for (const [key, one] of read) this.#read.set(key, one);
    return changes;
  }

  /** Takes in all leases and returns the targets. Other work gets its turn in between, because thousands of leases may be new. */
  async update(leases: Leases): Promise<Target[]> {
    const read = new Map<string, Read>();
    // A copy, since the leases must be gone through without a pause.
    for (const [key, lease] of [...leases]) {
      const known = this.#read.get(key);
      read.set(key, known?.lease === lease ? known : { lease, target: targetOfLease(key, lease, this.#place) });
      if (read.size % AT_ONCE === 0) await breathe();
    }
    this.#read = read;
    return [...read.values()].flatMap(({ target }) => (target === undefined ? [] : [target]));
  }
}

/** A target whose lease has changed. */
export interface TargetChange {
  readonly before: Target;
  readonly after: Target;
}

/** Whether two leases of one name are the same to probes. */
export function sameTarget(a: Target, b: Target): boolean {
  return a.mac === b.mac && a.publicIp.value === b.publicIp.value && a.vtep.value === b.vtep.value;
}
