// The fast path of a node: a loop that keeps programs and maps as the node's pods, peers and rules want them, and lets the programs
// redirect only while all of that is certain.

import { possibleProcessors } from '../../lib/bpf/processors.ts';
import type { Clock } from '../../lib/clock-node.ts';
import { errorText } from '../../lib/errors.ts';
import { formatIp, formatPrefix, type Ip } from '../../lib/ip.ts';
import { type Loop, startLoop } from '../../lib/loop-node.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { RtnetlinkEvent } from '../../lib/rtnetlink/event.ts';
import { isForwarding } from '../../lib/rtnetlink/netconf.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Place } from '../dataplane/objects/kind.ts';
import { Reconciler } from '../dataplane/reconciler.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import type { FastPathPeer, FastPathStatus } from '../health/status/report.ts';
import { idleFilters } from './clsact-filters.ts';
import { FastPathPlanner, type Owner } from './fast-path-owners.ts';
import { KernelState } from './kernel-state.ts';
import { fastPathKinds, removePod, type WantedPod } from './objects.ts';
import { observe, type Tunnel } from './observe.ts';
import { removeLinkPins } from './pins.ts';
import type { Policing } from './policing/policing.ts';
import { readCounters, readPeerCounts } from './programs/counters.ts';
import { HEARTBEAT_MS } from './programs/deadline.ts';
import { fastReasons, type Reason, slowReasons, tunnelReasons } from './programs/reasons.ts';
import { type WantedFastPath, wantedFastPath } from './wanted.ts';

/** How often the programs are checked, their heartbeat is renewed, and settings that change without events are read. */
const TICK_MS = 500;
const GAP_MS = 100;
/** After this time everything is read again, even without an event. */
const AUDIT_MS = 60_000;
/** How long a port that the runtime does not know is assumed to belong to an ADD that still runs. */
const ADD_MS = 30_000;
/** When to try again after the kernel lacked something: a module may have been loaded since. */
const RETRY_MS = 60_000;

export interface FastPathParts {
  readonly sys: Syscalls;
  readonly netlink: Netlink;
  readonly log: Logger;
  readonly clock: Clock;
  readonly drift: DriftNotes;
  /** The tunnels of the families that have a fast path; undefined before all are there. */
  readonly tunnels: () => readonly Tunnel[] | undefined;
  readonly place: () => Place | undefined;
  /** The pods' bridge and network. */
  readonly podNetwork: () => { readonly bridge: string; readonly network: string; readonly isBridged: boolean };
  readonly resultsFolder: string;
  /** The folder for pins in a bpffs; undefined where there is none. */
  readonly pinFolder: string | undefined;
  readonly policing: Policing;
  /** Whether programs shall also encapsulate and decapsulate. */
  readonly mode: 'redirect' | 'full';
}

export class FastPath {
  readonly #parts: FastPathParts;
  readonly #loop: Loop;
  readonly #processors: number;
  #state: KernelState | undefined;
  #planner: FastPathPlanner | undefined;
  #reconciler: Reconciler<Owner> | undefined;
  #isDirty = true;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #wanted: WantedFastPath | undefined;
  #podsAt = new Map<number, Ip[]>();
  #tunnelIndexes: ReadonlySet<number> = new Set();
  readonly #unknownSince = new Map<number, number>();
  /** Why the fast path is off; undefined while it is on. */
  #reason: string | undefined = 'the fast path has not started yet';
  /** Whether the reason is one that every node has for a short time after the start. */
  #isWaiting = true;
  /** Whether programs may encapsulate, or the reason why they must not at present. */
  #full: boolean | string = false;
  /** Why this kernel or node cannot have a fast path. */
  #lacks: string | undefined;

  constructor(parts: FastPathParts) {
    this.#parts = parts;
    this.#processors = possibleProcessors(parts.sys);
    this.#loop = startLoop({
      run: async () => {
        await this.#run();
        return TICK_MS;
      },
      onError: (error) => this.#pause(`the fast path could not be checked: ${errorText(error)}`),
      clock: parts.clock,
      minGapMs: GAP_MS,
      auditMs: TICK_MS,
    });
  }

  /**
   * Takes in an event of the kernel. A pod's entry must go with its device: an entry that stays redirects packets to a device that is gone.
   */
  hear(event: RtnetlinkEvent): void {
    if (!this.#isConcerned(event)) return;
    if (event.kind === 'link' && event.removed) this.#forgetPod(event.object.index);
    this.#isDirty = true;
    this.#loop.wake('event');
  }

  /** Call when somebody else has changed a rule of the packet filter, or when events about rules were lost. */
  rulesChanged(): void {
    this.#parts.policing.changed();
    this.#loop.wake('rules');
  }

  /** Call when events of the kernel were lost. */
  doubt(): void {
    this.#isDirty = true;
    this.#loop.wake('events lost');
  }

  status(): FastPathStatus {
    const { mode } = this.#parts;
    const counters = this.#state && readCounters(this.#state.sys, this.#state.map('counters'), this.#processors);
    const packets: Partial<Record<Reason, number>> = {};
    for (const [reason, count] of counters ?? []) if (count > 0) packets[reason] = count;
    const of = (names: readonly string[]) =>
      Object.fromEntries(Object.entries(packets).filter(([reason]) => names.includes(reason)));
    return {
      mode,
      on: this.#reason === undefined,
      ...(this.#reason !== undefined && { reason: this.#reason }),
      ...(this.#isWaiting && { isWaiting: true as const }),
      ...(this.#wanted?.notFull !== undefined && { notFull: this.#wanted.notFull }),
      pods: this.#reason === undefined ? (this.#wanted?.pods.length ?? 0) : 0,
      peers: this.#reason === undefined ? (this.#wanted?.peers.length ?? 0) : 0,
      addresses: this.#reason === undefined ? (this.#wanted?.pods.map(({ ip }) => formatIp(ip)) ?? []) : [],
      byPeer: this.#byPeer(),
      fast: of(fastReasons),
      slow: of(slowReasons),
      ...(mode === 'full' && { byDevice: of(tunnelReasons) }),
    };
  }

  #byPeer(): FastPathPeer[] {
    const [state, wanted] = [this.#state, this.#wanted];
    if (state === undefined || wanted === undefined) return [];
    return [...wanted.settings].flatMap(([family, { subnet }]) =>
      readPeerCounts(state.sys, state.map(`peers${family}`))
        .sort((a, b) => b.sent + b.received - a.sent - a.received)
        .map(({ ip, ...counts }) => ({ subnet: formatPrefix({ ip, length: subnet.length }), ...counts })),
    );
  }

  /** Ends the loop. Pinned programs go on until their heartbeat ends, so an agent that starts within that time loses nothing. */
  async stop(): Promise<void> {
    await this.#loop.stop();
    this.#state?.close();
    this.#state = undefined;
  }

  #isConcerned(event: RtnetlinkEvent): boolean {
    switch (event.kind) {
      case 'neigh':
      case 'fdb':
        return this.#isTunnel(event.object.index);
      case 'rule':
        this.#parts.policing.changed();
        return true;
      case 'link':
      case 'route':
      case 'qdisc':
      case 'netconf':
        return true;
      default:
        return false;
    }
  }

  #isTunnel(index: number): boolean {
    return this.#tunnelIndexes.has(index);
  }

  #forgetPod(ifindex: number): void {
    for (const ip of this.#podsAt.get(ifindex) ?? []) {
      if (this.#state !== undefined) removePod(this.#state, ip);
    }
    this.#podsAt.delete(ifindex);
  }

  async #run(): Promise<void> {
    const { tunnels: read, place: placeOf, clock, policing } = this.#parts;
    const [tunnels, place] = [read(), placeOf()];
    if (tunnels === undefined || place === undefined) return this.#pause('the tunnel’s device is not there yet', true);
    this.#tunnelIndexes = new Set(tunnels.map(({ ifindex }) => ifindex));
    const policed = policing.who();
    const reason = policed.pods ?? this.#notForwarded(tunnels);
    if (reason !== undefined) {
      this.#pause(reason);
      return await this.#clear(place);
    }
    if (!this.#open()) return this.#pause(this.#lacks ?? 'the fast path is not available');
    this.#chooseMode(policed.tunnel, place);
    if (!this.#isDirty && clock.now() - this.#lookedAtMs < AUDIT_MS && this.#isIntact()) return this.#go();
    await this.#look(tunnels, place);
  }

  /** Reads the node, corrects maps and programs, and lets the programs redirect. */
  async #look(tunnels: readonly Tunnel[], place: Place): Promise<void> {
    const { sys, netlink, clock, podNetwork, resultsFolder } = this.#parts;
    this.#isDirty = false;
    this.#lookedAtMs = clock.now();
    const { bridge, network, isBridged } = podNetwork();
    const found = isBridged
      ? wantedFastPath(observe(sys, netlink, tunnels, resultsFolder), { tunnels, bridge, network, full: this.#full })
      : 'pods are not on a bridge';
    if (typeof found === 'string') {
      this.#pause(found, isBridged);
      return await this.#clear(place);
    }
    const state = this.#state;
    if (state === undefined) return;
    const foreign = tunnels.find(({ ifindex }) => state.foreignPrograms(ifindex) > 0);
    if (foreign !== undefined) {
      this.#pause(`another program has attached an eBPF program to ${foreign.dev}`);
      return await this.#clear(place);
    }
    const own = found.links.filter(
      ({ ifindex, program }) => program !== 'fromPod' || state.foreignPrograms(ifindex) === 0,
    );
    // A pod whose veth has a program of others gets no entry either: such a program may also be there for packets to the pod.
    const isOwn = new Set(own.map(({ ifindex }) => ifindex));
    this.#wanted = { ...found, links: own, pods: found.pods.filter(({ entry }) => isOwn.has(entry.ifindex)) };
    this.#waitForAdds(found.unknownPorts);
    state.configure(found.settings);
    this.#podsAt = podsByDevice(this.#wanted.pods);
    await this.#reconcile(place);
    this.#go();
  }

  /**
   * The runtime writes a pod's result only at the end of its ADD, and no event reports it. So everything is read again until the result is
   * there.
   */
  #waitForAdds(ports: readonly number[]): void {
    const now = this.#parts.clock.now();
    for (const port of this.#unknownSince.keys()) if (!ports.includes(port)) this.#unknownSince.delete(port);
    for (const port of ports) {
      const since = this.#unknownSince.get(port) ?? now;
      this.#unknownSince.set(port, since);
      if (now - since < ADD_MS) this.#isDirty = true;
    }
  }

  /**
   * Programs encapsulate while no rule of others matches the tunnel's packets and no program of others is at the interface where these
   * arrive.
   */
  #chooseMode(policed: string | undefined, { underlay }: Place): void {
    if (this.#parts.mode !== 'full') return;
    const isForeign = (this.#state?.foreignPrograms(underlay.index) ?? 0) > 0;
    const reason = policed ?? (isForeign ? `a program of others is attached to ${underlay.name}` : undefined);
    if ((reason ?? true) === this.#full) return;
    this.#full = reason ?? true;
    this.#isDirty = true;
  }

  /** Whether every program is still attached. */
  #isIntact(): boolean {
    const attached = new Map(this.#state?.attached().map(({ ifindex, program }) => [ifindex, program]));
    const links = this.#wanted?.links ?? [];
    return attached.size === links.length && links.every(({ ifindex, program }) => attached.get(ifindex) === program);
  }

  /** Makes maps and programs unless they exist. Returns false where this is not possible. */
  #open(): boolean {
    if (this.#state !== undefined) return true;
    const { sys, netlink, clock, pinFolder } = this.#parts;
    if (clock.now() - this.#triedAtMs < RETRY_MS) return false;
    this.#triedAtMs = clock.now();
    try {
      this.#state = new KernelState(sys, netlink, pinFolder);
    } catch (error) {
      this.#lacks = `this node has no fast path: ${errorText(error)}`;
      return false;
    }
    const kinds = fastPathKinds(sys, this.#state);
    this.#planner = new FastPathPlanner(kinds);
    this.#reconciler = new Reconciler<Owner>({ kinds: kinds.all, objects: ({ objects }) => objects }, this.#parts);
    this.#isDirty = true;
    return true;
  }

  async #reconcile(place: Place): Promise<void> {
    const plan = this.#planner?.plan(this.#wanted);
    if (plan !== undefined) await this.#reconciler?.run({ place, plan: () => plan });
  }

  #notForwarded(tunnels: readonly Tunnel[]): string | undefined {
    const not = tunnels.find(({ family, ifindex }) => isForwarding(this.#parts.netlink, family, ifindex) === false);
    return not === undefined ? undefined : `this node does not forward packets that arrive at ${not.dev}`;
  }

  #go(): void {
    this.#state?.allow(HEARTBEAT_MS);
    if (this.#reason === undefined) return;
    this.#reason = undefined;
    this.#isWaiting = false;
    const { pods, peers, notFull } = this.#wanted ?? {};
    this.#parts.log.info({ pods: pods?.length, peers: peers?.length, notFull }, 'fast path is on');
  }

  /** Stops the programs at once. */
  #pause(reason: string, isWaiting = false): void {
    this.#state?.allow(0);
    this.#isWaiting = isWaiting;
    if (this.#reason === reason) return;
    this.#reason = reason;
    this.#parts.log.warn({ reason }, 'fast path is off, packets go through bridge, routing and netfilter');
    if (this.#state === undefined && !isWaiting) this.#detachEarlier();
  }

  /**
   * Detaches what an earlier agent has left: it would redirect until its heartbeat ends. Its maps and programs stay, for the time when the
   * reason is gone.
   */
  #detachEarlier(): void {
    const { sys, netlink, pinFolder } = this.#parts;
    if (pinFolder !== undefined) removeLinkPins(sys, pinFolder);
    idleFilters(netlink);
  }

  /** Removes all programs from devices and all entries from maps, so that packets do not even pass a program. */
  async #clear(place: Place): Promise<void> {
    this.#isDirty = true;
    if (this.#wanted === undefined) return;
    this.#wanted = undefined;
    this.#podsAt = new Map();
    await this.#reconcile(place);
  }
}

function podsByDevice(pods: readonly WantedPod[]): Map<number, Ip[]> {
  const byDevice = new Map<number, Ip[]>();
  for (const { ip, entry } of pods) byDevice.set(entry.ifindex, [...(byDevice.get(entry.ifindex) ?? []), ip]);
  return byDevice;
}
