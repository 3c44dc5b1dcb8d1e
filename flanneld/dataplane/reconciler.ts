// The reconciler of an overlay's peers: it compares the wanted objects with the present ones, changes what differs, and records
// what failed. It serves every backend and every kind of object. A failing peer is retried by itself and never delays others.

import { breathe, type Clock } from '../../lib/clock-node.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { RtnetlinkEvent } from '../../lib/rtnetlink/event.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import { describeDrift, deviceOf, type Outcome, reportOutcomes } from './change-log.ts';
import { changesFor, type Sides } from './compare.ts';
import { Mirror } from './mirror.ts';
import type { AnyKind, ObjectKey, Place, WantedObject } from './objects/kind.ts';
import { isWorthLogging, PeerLedger } from './peer-ledger.ts';
import { type Change, keyOf, type Plan, type PlannedPeer } from './plan.ts';
import { PlanProblems } from './plan-problems.ts';
import { RepairBudget } from './repair-budget.ts';
import { sendChanges } from './send-changes.ts';
import { byChange, inOrder, refuseHeld, type Task, tasksOf } from './tasks.ts';
import { WantedObjects } from './wanted-objects.ts';

/** Everything is listed again after this time even without events, because the mirror may have missed something. */
const AUDIT_MS = 60_000;
/** How often to list again in one run when events cast doubt on a listing. */
const LISTINGS = 3;

export interface ReconcilerOptions {
  readonly netlink: Netlink;
  readonly log: Logger;
  readonly clock: Clock;
  /** Records what somebody else has changed. */
  readonly drift?: DriftNotes;
}

/** The objects of one backend's peers. */
export interface PeerObjects<P extends PlannedPeer> {
  /** All kinds of objects, in the order in which a peer's objects are made. */
  readonly kinds: readonly AnyKind[];
  /**
   * The objects a peer needs; a pure function. No two peers of a plan may need objects with the same key. When only those of one kind
   * are asked for, objects of other kinds may be left out, which saves time where there are thousands of peers.
   */
  objects(peer: P, only?: AnyKind): readonly WantedObject[];
}

/** Numbers of peers by state. */
export interface PeerCounts {
  /** Leases of other nodes, readable or not. */
  readonly wanted: number;
  readonly programmed: number;
  readonly failing: number;
}

export interface Run<P extends PlannedPeer> {
  readonly place: Place;
  /** Makes the plan; called when the mirror is up to date. */
  plan(mirror: Mirror): Plan<P> | Promise<Plan<P>>;
  /** Reads all events the kernel has queued. Without it the mirror cannot be up to date, so everything is listed in each run. */
  readonly settle?: (() => Promise<void>) | undefined;
}

export class Reconciler<P extends PlannedPeer> {
  readonly #options: ReconcilerOptions;
  readonly #kinds: readonly AnyKind[];
  readonly #mirror: Mirror;
  readonly #wanted: WantedObjects<P>;
  readonly #ledger = new PeerLedger<P>();
  readonly #budget = new RepairBudget();
  readonly #problems: PlanProblems;
  #place: Place | undefined;
  #listedAtMs = Number.NEGATIVE_INFINITY;
  /** The plan of the last complete run. */
  #completed: Plan<P> | undefined;
  /** Whether an event has shown something that must be repaired. */
  #hasNews = false;
  /** Whether a change was still under way when the last run ended. */
  #isPending = false;

  constructor(backend: PeerObjects<P>, options: ReconcilerOptions) {
    const { kinds } = backend;
    this.#options = options;
    this.#kinds = kinds;
    this.#wanted = new WantedObjects(kinds, (peer, only) => backend.objects(peer, only));
    this.#mirror = new Mirror(kinds, this.#wanted, (kind, key) => this.#noteTouched(kind, key));
    this.#problems = new PlanProblems(options.log);
  }

  /** How many leases are or should be peers. */
  get peerCount(): number {
    return this.#wanted.peers.size + this.#problems.count;
  }

  get counts(): PeerCounts {
    const { peers } = this.#wanted;
    const refused = this.#ledger.failures().filter(({ key }) => peers.has(key)).length;
    const settled =
      peers.size - refused - this.#ledger.unsettled().filter((key) => !this.#ledger.isFailing(key)).length;
    const programmed = this.#completed === undefined ? 0 : settled;
    return { wanted: this.peerCount, programmed, failing: this.#problems.count + refused };
  }

  /** How many programmed peers satisfy `is`. */
  countProgrammed(is: (peer: P) => boolean): number {
    if (this.#completed === undefined) return 0;
    const isThere = ({ key }: P): boolean => !this.#ledger.isFailing(key) && this.#ledger.isSettled(key);
    return [...this.#wanted.peers.values()].filter((peer) => is(peer) && isThere(peer)).length;
  }

  /** All problems: leases that must not be programmed, peers that the kernel refused, and doubtful peers. */
  problems(): PeerProblem[] {
    const refused = this.#ledger.failures().map(({ key, reason, attempts }) => ({
      key,
      reason: `${reason} (tried ${attempts} times)`,
    }));
    return [...this.#problems.problems(), ...refused, ...this.#problems.doubts()];
  }

  /** Takes in an event of the kernel. */
  hear(event: RtnetlinkEvent): void {
    this.#index();
    this.#mirror.hear(event);
    if (this.#mirror.isDoubtful) this.#hasNews = true;
  }

  /** Whether an event has shown something to repair; events about the agent's own changes do not. */
  get hasNews(): boolean {
    return this.#hasNews;
  }

  /** Call when events were lost, or when the mirror may be wrong for another reason. */
  doubt(): void {
    this.#mirror.doubt();
    this.#hasNews = true;
  }

  /** Call when something has changed that may help failing peers: they are retried at once. */
  retryNow(): void {
    this.#ledger.retryNow();
  }

  /** Call when the device is gone, and with it everything that was programmed. */
  forgetProgrammed(): void {
    this.#completed = undefined;
    this.#mirror.doubt();
  }

  /**
   * Makes the kernel match the plan. Resolves to the milliseconds after which to run again (undefined: when something changes). Rejects
   * when the kernel cannot be read, or the device is gone.
   */
  async run(run: Run<P>): Promise<number | undefined> {
    const { place, settle } = run;
    this.#place = place;
    this.#mirror.moveTo(place);
    if (settle === undefined) this.#mirror.doubt();
    const plan = await this.#look(run);
    const isSteady = this.#completed === plan;
    this.#take(plan);
    await breathe();
    const changes = changesFor(this.#sides(place));
    await breathe();
    const tasks = tasksOf(changes, this.#wanted.peers, this.#ledger);
    const { due, waitMs } = this.#due(tasks, place);
    refuseHeld(due, place, this.#options.netlink, (owner) => this.#ledger.wasProgrammed(owner));
    await this.#apply(tasks, due, place);
    await this.#pollAfter(due, place);
    const pendingMs = shortest([...due].map((task) => task.pendingMs));
    this.#isPending = pendingMs !== undefined;
    await this.#settle(tasks, due, isSteady, place);
    this.#completed = plan;
    return shortest([this.#ledger.nextDueMs(this.#options.clock.now()), waitMs, pendingMs]);
  }

  /** Brings the mirror up to date and makes the plan. When it returns, all queued events have been read. */
  async #look({ place, settle, plan }: Run<P>): Promise<Plan<P>> {
    const { netlink, clock } = this.#options;
    if (clock.now() - this.#listedAtMs >= AUDIT_MS) this.#mirror.doubt();
    // A list is compared with all that is wanted, so the mirror need not be told of each object before it.
    if (this.#mirror.isDoubtful) this.#wanted.index(() => undefined);
    else this.#index();
    await settle?.();
    for (let again = 0; this.#mirror.isDoubtful && again < LISTINGS; again++) {
      const startedMs = clock.now();
      await this.#mirror.list(netlink, place);
      this.#listedAtMs = startedMs;
      this.#forgetGone();
      await settle?.();
    }
    if (this.#isPending) await this.#poll(place, new Set(this.#kinds.filter(({ hear }) => hear === undefined)));
    const made = await plan(this.#mirror);
    await settle?.();
    return made;
  }

  /** Takes in the plan. */
  #take(plan: Plan<P>): void {
    this.#problems.set(plan);
    const changes = this.#wanted.take(plan, (kind, key, want) => {
      this.#mirror.noLongerWanted(kind, key, want);
      if (!this.#mirror.differences(kind).others.has(key)) this.#wanted.forget(kind, key);
    });
    // On an empty kernel the peers are programmed first, since to enter thousands takes milliseconds.
    if (this.#kinds.some((kind) => this.#mirror.differences(kind).others.size > 0)) this.#index();
    for (const { key, before, after } of changes) {
      if (after === undefined) this.#ledger.succeeded(key);
      else this.#ledger.wanted(key, before === undefined);
    }
    // The last events may have cast doubt on what was listed. Then the next run must not wait for another event.
    this.#hasNews = this.#mirror.isDoubtful;
  }

  /** Enters the objects of new peers, so that they can be looked up by their keys. */
  #index(): void {
    this.#wanted.index((kind, key, want, owner) => this.#mirror.nowWanted(kind, key, want, owner));
  }

  /** Called for each key whose object an event has changed. */
  #noteTouched(kind: AnyKind, key: ObjectKey): void {
    if (this.#isWrong(kind, key)) this.#hasNews = true;
    else if (!this.#wanted.has(kind, key)) this.#wanted.forget(kind, key);
  }

  /** After a listing: forgets whom the unwanted objects were for that are gone. */
  #forgetGone(): void {
    for (const kind of this.#kinds) {
      const { others } = this.#mirror.differences(kind);
      for (const key of this.#wanted.formerKeys(kind)) if (!others.has(key)) this.#wanted.forget(kind, key);
    }
  }

  /** Whether a run must change the object under a key: it is not as wanted, or it is ours and not wanted. */
  #isWrong(kind: AnyKind, key: ObjectKey): boolean {
    const { missing, others } = this.#mirror.differences(kind);
    const have = others.get(key);
    if (have === undefined) return missing.has(key);
    return this.#wanted.has(kind, key) || (this.#place !== undefined && kind.isOurs(have, this.#place));
  }

  #sides(place: Place): Sides<P> {
    const [wanted, mirror] = [this.#wanted, this.#mirror];
    return {
      place,
      kinds: this.#kinds,
      differences: (kind) => mirror.differences(kind),
      presentAt: (kind, key) => mirror.get(kind, key),
      peers: wanted.peers,
      newPeers: wanted.unindexed,
      objectsOf: (peer) => wanted.objectsOf(peer),
      ownersOf: (kind) => wanted.ownersOf(kind),
      formerOwner: (kind, key) => wanted.formerOwner(kind, key),
    };
  }

  /** Leaves out tasks that must wait for a retry, or because somebody keeps undoing them. Also returns the shortest wait. */
  #due(tasks: ReadonlyMap<string, Task<P>>, place: Place): { due: Set<Task<P>>; waitMs: number | undefined } {
    const now = this.#options.clock.now();
    const due = new Set<Task<P>>();
    const waits: number[] = [];
    for (const task of tasks.values()) {
      if (!this.#ledger.isDue(task.owner, task.peer, now)) continue;
      // A failing task is not limited here, because it has its own back-off.
      const mayWait = task.repair && !this.#ledger.isFailing(task.owner);
      const waitMs = mayWait ? this.#budget.take(task.owner, now) : 0;
      if (waitMs === 0) {
        due.add(task);
        continue;
      }
      waits.push(waitMs);
      this.#reportFight(task, place);
    }
    return { due, waitMs: shortest(waits) };
  }

  #reportFight({ owner, changes }: Task<P>, place: Place): void {
    const count = this.#budget.waited(owner);
    if (!isWorthLogging(count)) return;
    const { log, netlink } = this.#options;
    const [first] = changes;
    const dev = first && deviceOf(first, place);
    const there = changes.flatMap(({ kind, want }) => (want && kind.whatIsThere?.(netlink, want)) ?? []);
    const facts = { peer: owner, dev, was: changes.map(describeDrift).join(', '), route: there[0], count };
    log.warn(facts, 'another program keeps changing this, it is repaired only once a second');
  }

  /** First makes what peers need, then removes the rest, except what a failed or waiting peer still depends on. */
  async #apply(tasks: ReadonlyMap<string, Task<P>>, due: ReadonlySet<Task<P>>, place: Place): Promise<void> {
    const [peers, leftovers]: [Task<P>[], Task<P>[]] = [[], []];
    for (const task of due) {
      if (task.failure !== undefined) continue;
      (task.peer === undefined ? leftovers : peers).push(task);
    }
    await this.#send(peers, place);
    const mayGo = ({ after }: Change): boolean => {
      const user = after === undefined ? undefined : tasks.get(after);
      return user === undefined || (due.has(user) && user.failure === undefined);
    };
    for (const task of leftovers) task.sent = task.changes.filter(mayGo);
    await this.#send(leftovers, place);
  }

  async #send(some: readonly Task<P>[], place: Place): Promise<void> {
    let tasks: ReadonlyMap<Change, Task<P>> | undefined;
    await sendChanges(this.#options.netlink, inOrder(some), place, (change, { text, pendingMs }) => {
      tasks ??= byChange(some);
      const task = tasks.get(change);
      if (task === undefined) return;
      if (pendingMs === undefined) task.failure ??= text;
      else task.pendingMs = pendingMs;
    });
  }

  /** Polled kinds have no events. So they are listed after a change, and an object that is not as wanted has failed. */
  async #pollAfter(due: ReadonlySet<Task<P>>, place: Place): Promise<void> {
    if (this.#kinds.every(({ hear }) => hear !== undefined)) return;
    const sent = [...due].flatMap((task) => task.sent.map((change) => ({ task, change })));
    const polled = sent.filter(({ change }) => change.kind.hear === undefined);
    await this.#poll(place, new Set(polled.map(({ change }) => change.kind)));
    for (const { task, change } of polled) {
      const { kind } = change;
      if (task.failure !== undefined || task.pendingMs !== undefined || !this.#isWrong(kind, keyOf(change))) continue;
      task.failure = `${kind.name} is missing although the kernel accepted it`;
    }
  }

  async #poll(place: Place, kinds: ReadonlySet<AnyKind>): Promise<void> {
    if (kinds.size === 0) return;
    this.#index();
    await this.#mirror.list(this.#options.netlink, place, [...kinds]);
    for (const kind of kinds) {
      const { missing, others } = this.#mirror.differences(kind);
      if (missing.size > 0 || [...others.keys()].some((key) => this.#isWrong(kind, key))) this.#hasNews = true;
    }
  }

  async #settle(
    tasks: ReadonlyMap<string, Task<P>>,
    due: ReadonlySet<Task<P>>,
    isSteady: boolean,
    place: Place,
  ): Promise<void> {
    const outcomes: Outcome[] = [];
    for (const task of due) {
      if (task.failure !== undefined) this.#noteFailure(task, place);
      else if (task.pendingMs === undefined && task.sent.length > 0) outcomes.push(this.#settleTask(task, isSteady));
    }
    // A peer that needs no change any more has no problem, whoever repaired it.
    for (const key of [...this.#ledger.unsettled(), ...this.#ledger.failures().map((failure) => failure.key)]) {
      if (!tasks.has(key)) this.#ledger.succeeded(key);
    }
    const { log, drift } = this.#options;
    await reportOutcomes(outcomes, place, { log, drift });
  }

  #noteFailure({ owner, peer, changes, failure = '' }: Task<P>, place: Place): void {
    const { attempts } = this.#ledger.failed(owner, peer, failure, this.#options.clock.now());
    if (!isWorthLogging(attempts)) return;
    const [first] = changes;
    const facts = { peer: owner, dev: first && deviceOf(first, place), err: failure, count: attempts };
    this.#options.log.warn(facts, 'peer could not be programmed, will retry');
  }

  #settleTask({ owner, peer, repair, sent }: Task<P>, isSteady: boolean): Outcome {
    const wasProgrammed = this.#ledger.wasProgrammed(owner);
    this.#ledger.succeeded(owner);
    if (peer === undefined) for (const change of sent) this.#wanted.forget(change.kind, keyOf(change));
    // If the peers are the same as last time, somebody else must have made the unwanted object.
    if (peer === undefined) return { owner, did: 'removed', changes: sent, drift: isSteady };
    const did = repair ? 'repaired' : wasProgrammed ? 'changed' : 'added';
    return { owner, did, changes: sent, drift: repair };
  }
}

/** Undefined when there is none. */
function shortest(waits: readonly (number | undefined)[]): number | undefined {
  let least: number | undefined;
  for (const ms of waits) if (ms !== undefined && (least === undefined || ms < least)) least = ms;
  return least;
}
