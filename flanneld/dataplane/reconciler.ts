// Making the peers of one VXLAN device right: look, compare, change, and remember what failed. Every run starts from
// what the kernel says; a peer in trouble is retried under its own key and never holds up the others.

import { errorText, OpError } from '../../lib/errors.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { NetlinkError } from '../../lib/netlink/request.ts';
import { ENODEV, ENOENT, ESRCH } from '../../lib/sys/errno.ts';
import type { DriftNotes } from '../drift-ledger.ts';
import type { Logger } from '../log.ts';
import type { Lease, PeerProblem } from '../subnet/manager.ts';
import { type Outcome, reportOutcomes } from './change-log.ts';
import { breathe, type Clock } from './clock.ts';
import { type Desired, type DesiredConfig, desiredInSteps, peerSignature } from './desired.ts';
import { diff, foreignNexthopIds, isLeftover } from './diff.ts';
import { describeDrift } from './drift.ts';
import { observe, routeHolder } from './observe.ts';
import type { OverlayConfig, Peer } from './peer.ts';
import { type Failure, isWorthLogging, PeerLedger } from './peer-ledger.ts';
import { RepairBudget } from './repair-budget.ts';
import { requestOf } from './requests.ts';
import type { Change, Device } from './state.ts';

/** Changes sent before other work gets its turn: a few milliseconds of kernel time. */
const CHUNK = 200;

export interface ReconcilerOptions {
  readonly netlink: Netlink;
  readonly log: Logger;
  readonly clock: Clock;
  /** Where it is noted what somebody else had changed. */
  readonly drift?: DriftNotes;
}

/** How many peers there are. */
export interface PeerCounts {
  /** Leases of other nodes, readable or not. */
  readonly wanted: number;
  readonly programmed: number;
  readonly failing: number;
}

/** All changes of one key, and what is to become of them in this run. */
interface Task {
  readonly owner: string;
  /** Undefined: a leftover. */
  readonly peer: Peer | undefined;
  readonly signature: string;
  readonly changes: Change[];
  /** Those the kernel was asked for. */
  readonly sent: Change[];
  readonly repair: boolean;
  failure?: string;
}

export class PeerReconciler {
  readonly #options: ReconcilerOptions;
  readonly #ledger = new PeerLedger();
  readonly #budget = new RepairBudget();
  #problems: ReadonlyMap<string, string> = new Map();
  #doubts: readonly PeerProblem[] = [];
  #peers = 0;
  /** The leases of the last run that came to its end. */
  #completed: ReadonlyMap<string, Lease> | undefined;
  #last: { leases: ReadonlyMap<string, Lease>; config: DesiredConfig; wanted: Desired } | undefined;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Leases that are or should be peers. */
  get peerCount(): number {
    return this.#peers;
  }

  get counts(): PeerCounts {
    const refused = this.#ledger.failures().filter(({ key }) => !isLeftover(key)).length;
    const programmed = (this.#last?.wanted.peers.length ?? 0) - refused;
    const failing = this.#problems.size + refused;
    return { wanted: programmed + failing, programmed: this.#completed === undefined ? 0 : programmed, failing };
  }

  /** What is wrong, by key: leases that must not be programmed, peers the kernel refused, and peers in doubt. */
  problems(): PeerProblem[] {
    const refused = this.#ledger.failures().map(({ key, reason, attempts }: Failure) => ({
      key,
      reason: `${reason} (tried ${attempts} times)`,
    }));
    return [...[...this.#problems].map(([key, reason]) => ({ key, reason })), ...refused, ...this.#doubts];
  }

  /**
   * Makes the device carry the peers of `leases`. Resolves to the milliseconds after which it wants to run again
   * (undefined: when something changes). Rejects when the kernel cannot be read, or the device is gone.
   */
  async run(
    device: Device,
    leases: ReadonlyMap<string, Lease>,
    config: OverlayConfig,
    unreadable: readonly PeerProblem[] = [],
  ): Promise<number | undefined> {
    const steady = this.#completed === leases;
    const observed = await observe(this.#options.netlink, device, config.family);
    const wanted = await this.#desired(leases, { ...config, foreignNexthopIds: foreignNexthopIds(observed) });
    await breathe();
    const changes = diff(wanted.state, observed);
    await breathe();
    this.#noteProblems([...unreadable, ...wanted.problems]);
    this.#noteDoubts(wanted.doubts);
    const tasks = this.#tasks(changes, wanted);
    const waits = this.#dropNotDue(tasks, device);
    await this.#apply(tasks, changes, device);
    await this.#settle(tasks, changes, wanted, device, steady);
    this.#completed = leases;
    this.#peers = wanted.peers.length + wanted.problems.length;
    const retryMs = this.#ledger.nextDueMs(this.#options.clock.now());
    return retryMs === undefined && waits === undefined ? undefined : Math.min(retryMs ?? Infinity, waits ?? Infinity);
  }

  /** Most runs find the same leases: then the last answer still holds. */
  async #desired(leases: ReadonlyMap<string, Lease>, config: DesiredConfig): Promise<Desired> {
    const last = this.#last;
    if (last?.leases === leases && sameConfig(last.config, config)) return last.wanted;
    const steps = desiredInSteps(leases, config);
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) await breathe();
    this.#last = { leases, config, wanted: step.value };
    return step.value;
  }

  #noteProblems(problems: readonly PeerProblem[]): void {
    const { log } = this.#options;
    const now = new Map<string, string>();
    for (const { key, reason } of problems) {
      now.set(key, reason);
      if (this.#problems.get(key) !== reason) log.warn({ peer: key, err: reason }, 'lease left out');
    }
    for (const key of this.#problems.keys()) if (!now.has(key)) log.info({ peer: key }, 'lease no longer at fault');
    this.#problems = now;
  }

  /** The same object as long as nothing changed. */
  #noteDoubts(doubts: readonly PeerProblem[]): void {
    if (doubts === this.#doubts) return;
    const known = new Set(this.#doubts.map(({ key, reason }) => `${key} ${reason}`));
    for (const { key, reason } of doubts) {
      if (!known.has(`${key} ${reason}`)) this.#options.log.warn({ peer: key, err: reason }, 'peer in doubt');
    }
    this.#doubts = doubts;
  }

  #tasks(changes: readonly Change[], wanted: Desired): Map<string, Task> {
    const tasks = new Map<string, Task>();
    if (changes.length === 0) return tasks;
    const peers = new Map(wanted.peers.map((peer) => [peer.key, peer]));
    for (const change of changes) {
      const { owner } = change;
      let task = tasks.get(owner);
      if (task === undefined) {
        const peer = peers.get(owner);
        const signature = peer === undefined ? '' : peerSignature(wanted.state, peer);
        const repair = peer === undefined || this.#ledger.programmedAs(owner) === signature;
        task = { owner, peer, signature, changes: [], sent: [], repair };
        tasks.set(owner, task);
      }
      task.changes.push(change);
    }
    return tasks;
  }

  /** Takes out what has to wait, for its retry or because somebody keeps undoing it; returns the shortest wait. */
  #dropNotDue(tasks: Map<string, Task>, device: Device): number | undefined {
    const now = this.#options.clock.now();
    let shortest: number | undefined;
    for (const task of tasks.values()) {
      if (!this.#ledger.isDue(task.owner, task.signature, now)) {
        tasks.delete(task.owner);
        continue;
      }
      const waitMs = task.repair ? this.#budget.take(task.owner, now) : 0;
      if (waitMs === 0) continue;
      tasks.delete(task.owner);
      shortest = Math.min(shortest ?? waitMs, waitMs);
      this.#reportFight(task, device);
    }
    return shortest;
  }

  #reportFight(task: Task, device: Device): void {
    const count = this.#budget.waited(task.owner);
    if (!isWorthLogging(count)) return;
    const { log, netlink } = this.#options;
    const route = task.peer === undefined ? undefined : routeHolder(netlink, task.peer.subnet);
    const facts = { peer: task.owner, dev: device.name, was: task.changes.map(describeDrift).join(', '), route, count };
    log.warn(facts, 'somebody keeps changing this, repairing it once a second only');
  }

  /** Additions first, all of them; then removals, but those a failed or waiting peer still stands on. */
  async #apply(tasks: ReadonlyMap<string, Task>, changes: readonly Change[], device: Device): Promise<void> {
    const due = changes.filter((change) => tasks.has(change.owner));
    const additions = due.filter((change) => change.want !== undefined);
    await this.#send(additions, tasks, device);
    const waiting = new Set<string>();
    for (const { owner } of changes) if (!tasks.has(owner)) waiting.add(owner);
    const mayGo = (after: string): boolean => !waiting.has(after) && tasks.get(after)?.failure === undefined;
    const removals = due.filter(({ want, after }) => want === undefined && (after === undefined || mayGo(after)));
    await this.#send(removals, tasks, device);
  }

  async #send(changes: readonly Change[], tasks: ReadonlyMap<string, Task>, device: Device): Promise<void> {
    for (let from = 0; from < changes.length; from += CHUNK) {
      const chunk = changes.slice(from, from + CHUNK);
      const requests = chunk.map((change) => requestOf(change, device));
      for (const failure of this.#options.netlink.execute(requests)) {
        this.#noteRefusal(failure, chunk[requests.indexOf(failure.request)], tasks, device);
      }
      for (const change of chunk) tasks.get(change.owner)?.sent.push(change);
      await breathe();
    }
  }

  #noteRefusal(
    failure: NetlinkError,
    change: Change | undefined,
    tasks: ReadonlyMap<string, Task>,
    device: Device,
  ): void {
    const { errno } = failure;
    if (errno === ENODEV) {
      const detail = 'removed while its peers were programmed';
      const object = `peers of ${device.name}`;
      throw new OpError({ subsystem: 'rtnetlink', op: 'program', object, code: 'ENODEV', detail, cause: failure });
    }
    // What was to go is gone: somebody else removed it, or it went with its nexthop.
    if (change === undefined || (change.want === undefined && (errno === ENOENT || errno === ESRCH))) return;
    const task = tasks.get(change.owner);
    if (task !== undefined) task.failure ??= errorText(failure);
  }

  async #settle(
    tasks: ReadonlyMap<string, Task>,
    changes: readonly Change[],
    wanted: Desired,
    device: Device,
    steady: boolean,
  ): Promise<void> {
    const nowMs = this.#options.clock.now();
    const outcomes: Outcome[] = [];
    for (const task of tasks.values()) {
      if (task.failure !== undefined) this.#noteFailure(task, task.failure, device, nowMs);
      else if (task.sent.length > 0) outcomes.push(this.#settleTask(task, steady));
    }
    const known = new Set(wanted.peers.map((peer) => peer.key));
    for (const { owner } of changes) known.add(owner);
    this.#ledger.retain((key) => known.has(key));
    for (const peer of wanted.peers) {
      if (this.#ledger.programmedAs(peer.key) === undefined && !this.#ledger.isFailing(peer.key)) {
        this.#ledger.succeeded(peer.key, peerSignature(wanted.state, peer));
      }
    }
    const { log, drift } = this.#options;
    await reportOutcomes(outcomes, device, { log, drift });
  }

  #noteFailure({ owner, signature }: Task, failure: string, device: Device, nowMs: number): void {
    const { attempts } = this.#ledger.failed(owner, signature, failure, nowMs);
    if (!isWorthLogging(attempts)) return;
    const facts = { peer: owner, dev: device.name, err: failure, count: attempts };
    this.#options.log.warn(facts, 'peer not programmed, will retry');
  }

  #settleTask({ owner, peer, signature, repair, sent }: Task, steady: boolean): Outcome {
    const before = this.#ledger.programmedAs(owner);
    if (peer === undefined) {
      this.#ledger.forget(owner);
      // With the same leases as last time nothing becomes superfluous by itself.
      return { owner, did: 'removed', changes: sent, drift: steady };
    }
    this.#ledger.succeeded(owner, signature);
    const did = repair ? 'repaired' : before === undefined ? 'added' : 'changed';
    return { owner, did, changes: sent, drift: repair };
  }
}

function sameConfig(a: DesiredConfig, b: DesiredConfig): boolean {
  const { foreignNexthopIds: idsOfA, ...restOfA } = a;
  const { foreignNexthopIds: idsOfB, ...restOfB } = b;
  const keys = Object.keys(restOfA) as (keyof typeof restOfA)[];
  if (keys.some((key) => restOfA[key] !== restOfB[key])) return false;
  if (idsOfA === undefined || idsOfB === undefined) return idsOfA === idsOfB;
  return idsOfA.size === idsOfB.size && [...idsOfA].every((id) => idsOfB.has(id));
}
