// Runs the overlay of one family: keeps its device correct, reconciles its peers, and reports its status. It is the same for every backend;
// the backend's OverlaySpec has what differs.

import { OpError } from '../../lib/errors.ts';
import type { Family, IpPrefix } from '../../lib/ip.ts';
import { formatIp, formatPrefix, isLinkLocal } from '../../lib/ip.ts';
import type { RtnetlinkEvent } from '../../lib/rtnetlink/event.ts';
import { getLink, type Link } from '../../lib/rtnetlink/link.ts';
import type { Route } from '../../lib/rtnetlink/route.ts';
import { RT_TABLE_LOCAL } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { type Device, type Place, WEFT_PROTOCOL } from '../dataplane/objects/kind.ts';
import type { PlannedPeer } from '../dataplane/plan.ts';
import { Reconciler } from '../dataplane/reconciler.ts';
import { RepairBudget } from '../dataplane/repair-budget.ts';
import { FoldedDrift } from '../health/folded-drift.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { OverlayStatus } from '../health/status/report.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';
import type { AnyOverlaySpec, OnDeviceChange, OverlayTools } from './backend.ts';
import { backendOfDevice } from './registry.ts';

export class Overlay {
  readonly #spec: AnyOverlaySpec;
  readonly #tools: OverlayTools;
  readonly #keepsRoutes: boolean;
  readonly #drift: FoldedDrift;
  readonly #reconciler: Reconciler<PlannedPeer>;
  readonly #budget = new RepairBudget();
  #place: Place | undefined;
  #mtuBytes = 0;
  #mtuNote: string | undefined;
  /** The device is not repaired before this time, because somebody keeps changing it back. */
  #restUntilMs = 0;
  /** Whether the device or the external interface has changed. */
  #mustLook = false;
  /** Whether the node's addresses or routes have changed. */
  #isRerouted = true;

  constructor(spec: AnyOverlaySpec, tools: OverlayTools) {
    this.#spec = spec;
    this.#tools = tools;
    this.#keepsRoutes = spec.kinds.some(({ name }) => name === 'route');
    this.#drift = new FoldedDrift(tools.drift);
    this.#reconciler = new Reconciler(spec, { ...tools, drift: this.#drift });
  }

  get family(): Family {
    return this.#spec.settings.family;
  }

  get network(): IpPrefix {
    return this.#spec.settings.network;
  }

  get subnet(): IpPrefix {
    return this.#spec.settings.subnet;
  }

  get name(): string {
    return this.#spec.name;
  }

  get check(): string {
    return this.#spec.check;
  }

  /** Its own device and the external interface, as last read; undefined before the first read. */
  get place(): Place | undefined {
    return this.#place;
  }

  /** Whether packets' way to peers depends on the node's addresses and routes. */
  get followsRoutes(): boolean {
    return this.#spec.followsRoutes === true;
  }

  /** The number in the names of the firewall's tables. */
  get vni(): number {
    return this.#spec.vni ?? 1;
  }

  /** See OverlaySpec. */
  get tunnel(): AnyOverlaySpec['tunnel'] {
    return this.#spec.tunnel;
  }

  /** The devices by which packets from peers' pods arrive; empty before the first read, and for a backend without a device. */
  get devices(): readonly Device[] {
    return [this.#place?.tunnel, this.#spec.secondDevice?.()].filter((device) => device !== undefined);
  }

  /** See OverlaySpec. */
  get openPort(): AnyOverlaySpec['openPort'] {
    return this.#spec.openPort;
  }

  /** See OverlaySpec. */
  get fastPath(): AnyOverlaySpec['fastPath'] {
    return this.#spec.fastPath;
  }

  /** MTU for pods; 0 before it is known. */
  get mtuBytes(): number {
    return this.#mtuBytes;
  }

  /** How many leases are or should be peers. */
  get peerCount(): number {
    return this.#reconciler.peerCount;
  }

  peerProblems(): PeerProblem[] {
    return this.#reconciler.problems();
  }

  /** Takes in an event of the kernel; `hasNews` then says whether a run is needed. */
  hear(event: RtnetlinkEvent): void {
    this.#reconciler.hear(event);
    if (event.kind === 'link') this.#hearLink(event.object);
    if (event.kind === 'address' && this.#isOwnDevice(event.object.index)) this.#mustLook = true;
    // A backend without routes to peers makes one route together with its device, so a change of that route concerns the device.
    if (event.kind === 'route' && !this.#keepsRoutes && this.#isOwnDevice(event.object.oif)) this.#mustLook = true;
    if (this.#spec.followsRoutes !== true) return;
    if (event.kind === 'address' && event.object.index === this.#place?.underlay.index) this.#hearUnderlay();
    if (event.kind === 'route' && mayReroute(event.object, this.network)) this.#reroute();
  }

  /** When an interface goes down or loses its address, the kernel removes routes without an event for each. */
  #hearUnderlay(): void {
    this.#reconciler.doubt();
    this.#reroute();
  }

  #hearLink({ name, index }: Link): void {
    const { underlay } = this.#spec.settings;
    if (name === underlay && this.#spec.followsRoutes === true) this.#hearUnderlay();
    if (name === underlay || name === this.name || this.#isOwnDevice(index)) this.#mustLook = true;
    if (this.#spec.secondDevice === undefined || this.#isOwnDevice(index)) return;
    // The mirror notices the removal of the overlay's own device only, so for a second device everything is listed again.
    if (this.devices.some((device) => device.index === index || device.name === name)) this.doubt();
  }

  #isOwnDevice(index: number | undefined): boolean {
    return index !== undefined && index === this.#place?.tunnel?.index;
  }

  #reroute(): void {
    this.#isRerouted = true;
    this.#mustLook = true;
  }

  get hasNews(): boolean {
    return this.#mustLook || this.#reconciler.hasNews;
  }

  /** Call when events were lost: everything is listed again. */
  doubt(): void {
    this.#reconciler.doubt();
    this.#reroute();
  }

  /** Makes or corrects the device and its address, which peers need. Throws OpError that names the obstacle. */
  ensureDevice(): Place {
    const { settings } = this.#spec;
    const { netlink, clock } = this.#tools;
    const nowMs = clock.now();
    const known = this.#place;
    if (known !== undefined && nowMs < this.#restUntilMs) return known;
    const underlay = underlayLink(netlink, settings.underlay, this.#spec.name);
    const mtu = this.#spec.mtu(underlay);
    this.#noteMtu(this.#spec.mtuNote?.(underlay));
    const changes: string[] = [];
    const tunnel = this.#spec.ensureDevice?.(underlay, mtu, this.#noting(known !== undefined, changes));
    if (known !== undefined && changes.length > 0) this.#countRepair(nowMs, changes);
    this.#mtuBytes = mtu;
    this.#place = placeOf(settings, tunnel, underlay);
    return this.#place;
  }

  #noteMtu(note: string | undefined): void {
    if (note !== undefined && note !== this.#mtuNote) this.#tools.log.warn({ dev: this.name }, note);
    this.#mtuNote = note;
  }

  /** Remarks about the overlay itself for the operator. */
  notes(): readonly { readonly about: string; readonly problem: string }[] {
    return this.#mtuNote === undefined ? [] : [{ about: `MTU of ${this.name}`, problem: this.#mtuNote }];
  }

  /**
   * Returns the function that logs changes to the device. Once the device has been correct, every further change repairs what somebody else
   * did.
   */
  #noting(isRepair: boolean, changes: string[]): OnDeviceChange {
    return (object, action, was) => {
      const cmd = action.command?.() ?? action.describe();
      this.#tools.log.info({ dev: this.name, was, cmd }, isRepair ? 'device repaired' : 'device set up');
      if (isRepair) this.#drift.cause({ object, place: this.name, what: this.name, was, cmd });
      changes.push(was);
    };
  }

  #countRepair(nowMs: number, changes: readonly string[]): void {
    const waitMs = this.#budget.take(this.name, nowMs);
    if (waitMs === 0) return;
    this.#restUntilMs = nowMs + waitMs;
    if (this.#budget.waited(this.name) === 1) {
      const facts = { dev: this.name, was: changes.join(', ') };
      this.#tools.log.warn(facts, 'another program keeps changing the device, it is repaired only once a second');
    }
  }

  /**
   * Makes the kernel match a snapshot of the leases; `settle` reads all events that the kernel has queued. Resolves to the milliseconds
   * after which to run again, undefined when nothing is pending. Rejects with the obstacle.
   */
  async run(snapshot: LeaseSnapshot, settle?: () => Promise<void>): Promise<number | undefined> {
    this.#mustLook = false;
    try {
      const place = this.#ensurePlace();
      const isRerouted = this.#isRerouted;
      this.#isRerouted = false;
      if (isRerouted) this.#reconciler.retryNow();
      const plan = (mirror: Parameters<AnyOverlaySpec['plan']>[1]['mirror']) =>
        this.#spec.plan(snapshot, { mirror, place, isRerouted });
      const retryMs = await this.#reconciler.run({ place, plan, settle });
      const restMs = this.#restUntilMs - this.#tools.clock.now();
      return soonest(restMs > 0 ? restMs : undefined, retryMs, this.#spec.planAgainMs?.());
    } finally {
      this.#drift.close();
    }
  }

  #ensurePlace(): Place {
    try {
      return this.ensureDevice();
    } catch (error) {
      // Without its device no peer is programmed.
      this.#reconciler.forgetProgrammed();
      throw error;
    }
  }

  status(): OverlayStatus {
    const spec = this.#spec;
    const { settings } = spec;
    const direct = spec.isDirect && this.#reconciler.countProgrammed((peer) => spec.isDirect?.(peer) === true);
    const encrypted = spec.isEncrypted && this.#reconciler.countProgrammed((peer) => spec.isEncrypted?.(peer) === true);
    return {
      ...(this.#place?.tunnel && { device: this.#place.tunnel.name }),
      family: settings.family,
      ...describePlace(settings),
      ...spec.facts?.(),
      mtu: this.#mtuBytes,
      peers: {
        ...this.#reconciler.counts,
        ...(direct !== undefined && { direct }),
        ...(encrypted !== undefined && { encrypted }),
      },
      problems: this.#reconciler.problems(),
    };
  }

  /** The overlay's facts for the log. */
  describe(): Readonly<Record<string, string | number>> {
    const mtu = this.#mtuBytes;
    // The MTU is 0 until the device has been read.
    const known = mtu === 0 ? {} : { mtu };
    return { dev: this.name, ...describePlace(this.#spec.settings), ...this.#spec.facts?.(), ...known };
  }

  async close(): Promise<void> {
    await this.#spec.close?.();
  }
}

function placeOf(
  { family, network }: AnyOverlaySpec['settings'],
  tunnel: Device | undefined,
  { index, name }: Link,
): Place {
  return {
    family,
    network,
    tunnel,
    underlay: { index, name },
    isTunnel: (link) => backendOfDevice(link) !== undefined,
  };
}

/** The shortest of the waits; undefined when there is none. */
function soonest(...waitsMs: readonly (number | undefined)[]): number | undefined {
  const known = waitsMs.filter((ms) => ms !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** The interface of that name. Throws OpError (ENODEV) with this overlay's subsystem when it is gone. */
function underlayLink(netlink: OverlayTools['netlink'], name: string, subsystem: string): Link {
  const link = getLink(netlink, { name });
  if (link !== undefined) return link;
  const detail = 'the external interface is gone';
  throw new OpError({ subsystem, op: 'use', object: name, code: 'ENODEV', detail });
}

/** Whether a route may change packets' way to a peer's address. The agent's own routes and link-local ones do not. */
function mayReroute({ table, destination, protocol }: Route, network: IpPrefix): boolean {
  if (table === RT_TABLE_LOCAL || isLinkLocal(destination.ip)) return false;
  return protocol !== WEFT_PROTOCOL || destination.ip.family !== network.ip.family;
}

/** The facts that every overlay has, for the status report and the log. */
function describePlace({ network, subnet, underlay, local, publicIp }: AnyOverlaySpec['settings']) {
  return {
    network: formatPrefix(network),
    subnet: formatPrefix(subnet),
    iface: underlay,
    local: formatIp(local),
    publicIp: formatIp(publicIp),
  };
}
