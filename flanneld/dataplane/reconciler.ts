// Making the peers of one VXLAN device right: look, compare, change, and remember what failed. Every run starts from
// what the kernel says; a peer in trouble is retried under its own key and never holds up the others.

import { breathe, type Clock } from '../../lib/clock-node.ts';
import { errorText, OpError } from '../../lib/errors.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import type { NetlinkError } from '../../lib/netlink/request.ts';
import { ENODEV, ENOENT, ESRCH } from '../../lib/sys/errno.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Logger } from '../health/log.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { Lease } from '../subnet/manager.ts';
import { asProgrammed, differingPeers } from './assumed.ts';
import { type Outcome, reportOutcomes } from './change-log.ts';
import { type Desired, type DesiredConfig, desiredInSteps, peerSignature } from './desired.ts';
import { diff, foreignNexthopIds, isLeftover } from './diff.ts';
import { describeDrift } from './drift.ts';
import { Echoes } from './echoes.ts';
import { desiredAfterMoves } from './moved.ts';
import { observe, routeHolder } from './observe.ts';
import type { OverlayConfig } from './peer.ts';
import { type Failure, isWorthLogging, PeerLedger, type SignatureOf } from './peer-ledger.ts';
import { RepairBudget } from './repair-budget.ts';
import { requestOf } from './requests.ts';
import type { Change, Device, PlacedPeer } from './state.ts';

/** Changes sent before other work gets its turn: a few milliseconds, most of them the kernel's. */
const CHUNK = 800;
/** However quiet it is, the kernel is read after this. */
const LOOK_AGAIN_MS = 30_000;

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
  readonly peer: PlacedPeer | undefined;
  readonly changes: readonly Change[];
  readonly repair: boolean;
  /** What the kernel is asked for: all, but what a leftover's may have to wait for. */
  sent: readonly Change[];
  failure?: string;
}

/** What is wanted, and where to find it. */
interface Plan extends Desired {
  readonly byKey: ReadonlyMap<string, PlacedPeer>;
  readonly signatureOf: SignatureOf;
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
  #last: { leases: ReadonlyMap<string, Lease>; config: DesiredConfig; wanted: Plan } | undefined;
  /** When and where the kernel was read; undefined when it may not be as it was left. */
  #looked: { readonly atMs: number; readonly index: number } | undefined;
  readonly #echoes = new Echoes();

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

  /** Whether an event about the device `index` only tells of what this reconciler has just done. */
  isEcho(message: MessageReader, index: number): boolean {
    return this.#echoes.isEcho(message, index);
  }

  /**
   * Makes the device carry the peers of `leases`. `isQuiet`: no event has said that the kernel is not as the last run
   * left it. Resolves to the milliseconds after which it wants to run again (undefined: when something changes). Rejects
   * when the kernel cannot be read, or the device is gone.
   */
  async run(
    device: Device,
    leases: ReadonlyMap<string, Lease>,
    config: OverlayConfig,
    unreadable: readonly PeerProblem[] = [],
    isQuiet = false,
  ): Promise<number | undefined> {
    const steady = this.#completed === leases;
    const last = isQuiet ? this.#stillTrue(device, config) : undefined;
    const lookedAtMs = last === undefined ? this.#options.clock.now() : this.#looked?.atMs;
    this.#looked = undefined;
    const { wanted, changes } =
      last === undefined ? await this.#look(device, leases, config) : await this.#compare(device, leases, last);
    this.#noteProblems([...unreadable, ...wanted.problems]);
    this.#noteDoubts(wanted.doubts);
    const tasks = this.#tasks(changes, wanted);
    const { due, waitMs } = this.#due(tasks, wanted, device);
    await this.#apply(tasks, due, device);
    const isDone = await this.#settle(tasks, due, wanted, device, steady);
    if (isDone && lookedAtMs !== undefined) this.#looked = { atMs: lookedAtMs, index: device.index };
    this.#completed = leases;
    this.#peers = wanted.peers.length + wanted.problems.length;
    const retryMs = this.#ledger.nextDueMs(this.#options.clock.now());
    return retryMs === undefined && waitMs === undefined
      ? undefined
      : Math.min(retryMs ?? Infinity, waitMs ?? Infinity);
  }

  /** What the last run has made of this device, if it is not too long ago and nothing was left undone. */
  #stillTrue({ index }: Device, config: OverlayConfig): { config: DesiredConfig; wanted: Plan } | undefined {
    const [looked, last] = [this.#looked, this.#last];
    if (looked === undefined || last === undefined || looked.index !== index) return undefined;
    if (this.#options.clock.now() - looked.atMs >= LOOK_AGAIN_MS) return undefined;
    const { foreignNexthopIds: foreign } = last.config;
    return sameConfig(last.config, { ...config, foreignNexthopIds: foreign }) ? last : undefined;
  }

  /** What is wanted, and the changes to what the kernel says. */
  async #look(
    device: Device,
    leases: ReadonlyMap<string, Lease>,
    config: OverlayConfig,
  ): Promise<{ wanted: Plan; changes: Change[] }> {
    const observed = await observe(this.#options.netlink, device, config.family);
    const wanted = await this.#desired(leases, { ...config, foreignNexthopIds: foreignNexthopIds(observed) });
    await breathe();
    const changes = diff(wanted.peers, observed);
    await breathe();
    return { wanted, changes };
  }

  /** The same, where the kernel still is as the last run made it. */
  async #compare(
    device: Device,
    leases: ReadonlyMap<string, Lease>,
    last: { config: DesiredConfig; wanted: Plan },
  ): Promise<{ wanted: Plan; changes: Change[] }> {
    const wanted = await this.#desired(leases, last.config);
    const { gone, come } = differingPeers(last.wanted.byKey, wanted.byKey);
    return { wanted, changes: diff(come, asProgrammed(gone, device)) };
  }

  /** Most runs find the same leases: then the last answer still holds. */
  async #desired(leases: ReadonlyMap<string, Lease>, config: DesiredConfig): Promise<Plan> {
    const last = this.#last;
    const isComparable = last !== undefined && sameConfig(last.config, config);
    if (isComparable && last.leases === leases) return last.wanted;
    const moved = isComparable ? desiredAfterMoves(last.wanted, last.leases, leases, config) : undefined;
    const wanted = planOf(moved ?? (await desiredSlowly(leases, config)));
    this.#last = { leases, config, wanted };
    return wanted;
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

  /** The changes by owner, in their order; those of one owner follow each other. */
  #tasks(changes: readonly Change[], wanted: Plan): Map<string, Task> {
    const tasks = new Map<string, Task>();
    for (let from = 0, to = 0; from < changes.length; from = to) {
      const owner = changes[from]?.owner ?? '';
      while (changes[to]?.owner === owner) to++;
      const before = tasks.get(owner)?.changes;
      const some = changes.slice(from, to);
      const all = before === undefined ? some : [...before, ...some];
      const peer = wanted.byKey.get(owner);
      const repair = peer === undefined || this.#isRepair(owner, wanted);
      tasks.set(owner, { owner, peer, changes: all, repair, sent: all });
    }
    return tasks;
  }

  #isRepair(owner: string, wanted: Plan): boolean {
    const before = this.#ledger.programmedAs(owner);
    return before !== undefined && before === wanted.signatureOf(owner);
  }

  /** Without what has to wait, for its retry or because somebody keeps undoing it, and the shortest wait for that. */
  #due(tasks: ReadonlyMap<string, Task>, wanted: Plan, device: Device): { due: Set<Task>; waitMs: number | undefined } {
    const now = this.#options.clock.now();
    const due = new Set<Task>();
    let shortest: number | undefined;
    for (const task of tasks.values()) {
      if (!this.#ledger.isDue(task.owner, wanted.signatureOf, now)) continue;
      const waitMs = task.repair ? this.#budget.take(task.owner, now) : 0;
      if (waitMs === 0) {
        due.add(task);
        continue;
      }
      shortest = Math.min(shortest ?? waitMs, waitMs);
      this.#reportFight(task, device);
    }
    return { due, waitMs: shortest };
  }

  #reportFight(task: Task, device: Device): void {
    const count = this.#budget.waited(task.owner);
    if (!isWorthLogging(count)) return;
    const { log, netlink } = this.#options;
    const route = task.peer === undefined ? undefined : routeHolder(netlink, task.peer.subnet);
    const facts = { peer: task.owner, dev: device.name, was: task.changes.map(describeDrift).join(', '), route, count };
    log.warn(facts, 'somebody keeps changing this, repairing it once a second only');
  }

  /** What peers need first, all of it; then removals, but those a failed or waiting peer still stands on. */
  async #apply(tasks: ReadonlyMap<string, Task>, due: ReadonlySet<Task>, device: Device): Promise<void> {
    const [peers, leftovers]: [Task[], Task[]] = [[], []];
    for (const task of due) (task.peer === undefined ? leftovers : peers).push(task);
    await this.#send(peers, tasks, device);
    const mayGo = ({ after }: Change): boolean => {
      const user = after === undefined ? undefined : tasks.get(after);
      return user === undefined || (due.has(user) && user.failure === undefined);
    };
    for (const task of leftovers) task.sent = task.changes.filter(mayGo);
    await this.#send(leftovers, tasks, device);
  }

  async #send(some: readonly Task[], tasks: ReadonlyMap<string, Task>, device: Device): Promise<void> {
    const changes: Change[] = [];
    for (const { sent } of some) for (const change of sent) changes.push(change);
    for (let from = 0; from < changes.length; from += CHUNK) {
      const chunk = changes.slice(from, from + CHUNK);
      const requests = chunk.map((change) => requestOf(change, device));
      this.#echoes.expect(chunk);
      for (const failure of this.#options.netlink.execute(requests)) {
        this.#noteRefusal(failure, chunk[requests.indexOf(failure.request)], tasks, device);
      }
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

  /** Whether nothing is left to be done. */
  async #settle(
    tasks: ReadonlyMap<string, Task>,
    due: ReadonlySet<Task>,
    wanted: Plan,
    device: Device,
    steady: boolean,
  ): Promise<boolean> {
    const nowMs = this.#options.clock.now();
    const outcomes: Outcome[] = [];
    for (const task of due) {
      if (task.failure !== undefined) this.#noteFailure(task, task.failure, wanted, device, nowMs);
      else if (task.sent.length > 0) outcomes.push(this.#settleTask(task, steady));
    }
    const behind: string[] = [];
    for (const task of tasks.values()) {
      if (task.failure !== undefined || !due.has(task)) behind.push(task.owner);
    }
    this.#ledger.reached(wanted.signatureOf, behind);
    // What needs no change any more is in no trouble, whoever put it right.
    this.#ledger.retain((key) => tasks.has(key));
    const { log, drift } = this.#options;
    await reportOutcomes(outcomes, device, { log, drift });
    return behind.length === 0;
  }

  #noteFailure({ owner }: Task, failure: string, wanted: Plan, device: Device, nowMs: number): void {
    const { attempts } = this.#ledger.failed(owner, wanted.signatureOf(owner), failure, nowMs);
    if (!isWorthLogging(attempts)) return;
    const facts = { peer: owner, dev: device.name, err: failure, count: attempts };
    this.#options.log.warn(facts, 'peer not programmed, will retry');
  }

  #settleTask({ owner, peer, repair, sent }: Task, steady: boolean): Outcome {
    this.#ledger.succeeded(owner);
    // With the same leases as last time nothing becomes superfluous by itself.
    if (peer === undefined) return { owner, did: 'removed', changes: sent, drift: steady };
    const did = repair ? 'repaired' : this.#ledger.programmedAs(owner) === undefined ? 'added' : 'changed';
    return { owner, did, changes: sent, drift: repair };
  }
}

/** Leaves room for other work. */
async function desiredSlowly(leases: ReadonlyMap<string, Lease>, config: DesiredConfig): Promise<Desired> {
  const steps = desiredInSteps(leases, config);
  let step = steps.next();
  for (; step.done !== true; step = steps.next()) await breathe();
  return step.value;
}

function planOf(wanted: Desired): Plan {
  const byKey = new Map(wanted.peers.map((peer) => [peer.key, peer]));
  const signatureOf = (key: string): string | undefined => {
    const peer = byKey.get(key);
    return peer && peerSignature(peer);
  };
  return { ...wanted, byKey, signatureOf };
}

function sameConfig(a: DesiredConfig, b: DesiredConfig): boolean {
  const { foreignNexthopIds: idsOfA, ...restOfA } = a;
  const { foreignNexthopIds: idsOfB, ...restOfB } = b;
  const keys = Object.keys(restOfA) as (keyof typeof restOfA)[];
  if (keys.some((key) => restOfA[key] !== restOfB[key])) return false;
  if (idsOfA === undefined || idsOfB === undefined) return idsOfA === idsOfB;
  return idsOfA.size === idsOfB.size && [...idsOfA].every((id) => idsOfB.has(id));
}
