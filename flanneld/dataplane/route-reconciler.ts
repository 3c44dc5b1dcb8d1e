// Keeping direct routes right: look, compare, change, remember what failed; the counterpart of reconciler.ts for peers
// that need nothing but a route over the external interface.

import { breathe } from '../../lib/clock-node.ts';
import { errorText, OpError } from '../../lib/errors.ts';
import { type Family, formatIp, formatPrefix, type IpPrefix } from '../../lib/ip.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import type { NetlinkError } from '../../lib/netlink/request.ts';
import { RT_TABLE_MAIN } from '../../lib/rtnetlink/constants.ts';
import { getLink, listLinks } from '../../lib/rtnetlink/link.ts';
import { listRoutes } from '../../lib/rtnetlink/route.ts';
import { ENODEV, ESRCH } from '../../lib/sys/errno.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import { type Outcome, reportOutcomes } from './change-log.ts';
import { type DirectDiff, diffDirect } from './direct-routes.ts';
import { describeDrift } from './drift.ts';
import { isWorthLogging } from './peer-ledger.ts';
import type { ReconcilerOptions } from './reconciler.ts';
import { RepairBudget } from './repair-budget.ts';
import { requestOf } from './requests.ts';
import { Retries } from './retries.ts';
import type { RoutePeer } from './route-peer.ts';
import { type Device, WEFT_PROTOCOL } from './state.ts';

/** Changes sent before other work gets its turn. */
const CHUNK = 200;

type RouteChange = DirectDiff['changes'][number];

export interface DirectRun {
  readonly device: Device;
  readonly family: Family;
  readonly network: IpPrefix;
  /** The same list as long as nothing changed. */
  readonly peers: readonly RoutePeer[];
  /** Destinations (routeKey) that get another kind of route in this run: replaced there, not removed here. */
  readonly moving: ReadonlySet<bigint>;
  /** Something of the underlay has changed: whatever failed is tried at once. */
  readonly retryNow: boolean;
}

export class RouteReconciler {
  readonly #options: ReconcilerOptions;
  readonly #retries = new Retries();
  readonly #budget = new RepairBudget();
  /** As what each peer's route was in the kernel last. */
  readonly #programmed = new Map<string, string>();
  #peers: readonly RoutePeer[] | undefined;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Peers whose route is in place. */
  get programmed(): number {
    return (this.#peers ?? []).filter(({ key }) => !this.#retries.isFailing(key)).length;
  }

  /** Why others are not. */
  problems(): PeerProblem[] {
    const known = new Set((this.#peers ?? []).map(({ key }) => key));
    return this.#retries.problems().filter(({ key }) => known.has(key));
  }

  /** Resolves to the milliseconds after which it wants to run again. Rejects when the kernel cannot be read. */
  async run(run: DirectRun): Promise<number | undefined> {
    const steady = this.#peers === run.peers;
    const { changes, held } = this.#diff(run);
    await breathe();
    const signatures = new Map(run.peers.map((peer) => [peer.key, signatureOf(peer)]));
    for (const [key, route] of held) {
      if (this.#isDue(key, run)) this.#noteFailure(key, `there is a route of somebody else: ${route}`, run.device);
    }
    const { due, waitMs } = this.#due(changes, signatures, run);
    const failures = await this.#send(due, run.device);
    const outcomes: Outcome[] = [];
    for (const change of due) {
      const failure = failures.get(change);
      if (failure === undefined) outcomes.push(this.#settle(change, signatures.get(change.owner), steady));
      else this.#noteFailure(change.owner, failure, run.device);
    }
    this.#settleRest(signatures, new Set([...changes.map(({ owner }) => owner), ...held.keys()]));
    this.#peers = run.peers;
    const { log, drift } = this.#options;
    await reportOutcomes(outcomes, run.device, { log, drift });
    const retryMs = this.#retries.nextDueMs(this.#options.clock.now());
    const soonest = Math.min(retryMs ?? Infinity, waitMs ?? Infinity);
    return soonest === Infinity ? undefined : soonest;
  }

  #diff({ device, family, network, peers, moving }: DirectRun): DirectDiff {
    const { netlink } = this.#options;
    const filter = { family, table: RT_TABLE_MAIN };
    // Later the external interface is all there is to look at; in the beginning there may be leftovers of another one.
    const where = this.#peers === undefined ? {} : { oif: device.index };
    const ours = listRoutes(netlink, { ...filter, ...where, protocol: WEFT_PROTOCOL });
    return diffDirect(
      { network, peers, moving, had: (key) => this.#programmed.has(key) },
      { device, isTunnel: tunnels(netlink), ours, others: () => listRoutes(netlink, filter) },
    );
  }

  #isDue(owner: string, { retryNow }: DirectRun): boolean {
    return retryNow || this.#retries.isDue(owner, this.#options.clock.now());
  }

  /** Leaves out what has to wait, for its retry or because somebody keeps undoing it. */
  #due(
    changes: readonly RouteChange[],
    signatures: ReadonlyMap<string, string>,
    run: DirectRun,
  ): { due: RouteChange[]; waitMs: number | undefined } {
    let shortest: number | undefined;
    const due = changes.filter((change) => {
      const { owner } = change;
      if (!this.#isDue(owner, run)) return false;
      const repair = !signatures.has(owner) || this.#programmed.get(owner) === signatures.get(owner);
      // A failure has its own back-off.
      const mayWait = repair && !this.#retries.isFailing(owner);
      const waitMs = mayWait ? this.#budget.take(owner, this.#options.clock.now()) : 0;
      if (waitMs === 0) return true;
      shortest = Math.min(shortest ?? waitMs, waitMs);
      this.#reportFight(change, run.device);
      return false;
    });
    return { due, waitMs: shortest };
  }

  #reportFight(change: RouteChange, { name }: Device): void {
    const count = this.#budget.waited(change.owner);
    if (!isWorthLogging(count)) return;
    const facts = { peer: change.owner, dev: name, was: describeDrift(change), count };
    this.#options.log.warn(facts, 'somebody keeps changing this, repairing it once a second only');
  }

  async #send(changes: readonly RouteChange[], device: Device): Promise<Map<RouteChange, string>> {
    const failures = new Map<RouteChange, string>();
    for (let from = 0; from < changes.length; from += CHUNK) {
      const chunk = changes.slice(from, from + CHUNK);
      const requests = chunk.map((change) => requestOf(change, this.#deviceOf(change, device)));
      for (const failure of this.#options.netlink.execute(requests)) {
        const change = chunk[requests.indexOf(failure.request)];
        if (change === undefined || isDone(failure, change)) continue;
        if (failure.errno === ENODEV && change.want !== undefined) throw interfaceGone(device, failure);
        failures.set(change, errorText(failure));
      }
      await breathe();
    }
    return failures;
  }

  /** A leftover may lie on another interface. */
  #deviceOf({ have, want }: RouteChange, device: Device): Device {
    if (want !== undefined || have?.oif === undefined || have.oif === device.index) return device;
    const name = getLink(this.#options.netlink, { index: have.oif })?.name;
    return { index: have.oif, name: name ?? `if${have.oif}` };
  }

  #noteFailure(owner: string, failure: string, { name }: Device): void {
    const count = this.#retries.failed(owner, failure, this.#options.clock.now());
    if (!isWorthLogging(count)) return;
    this.#options.log.warn({ peer: owner, dev: name, err: failure, count }, 'peer not programmed, will retry');
  }

  #settle(change: RouteChange, signature: string | undefined, steady: boolean): Outcome {
    const { owner } = change;
    this.#retries.succeeded(owner);
    if (signature === undefined) return { owner, did: 'removed', changes: [change], drift: steady };
    const before = this.#programmed.get(owner);
    this.#programmed.set(owner, signature);
    const repair = before === signature;
    const did = repair ? 'repaired' : before === undefined ? 'added' : 'changed';
    return { owner, did, changes: [change], drift: repair };
  }

  /** Peers that nothing had to be done for are as they should be; what nobody wants any more is forgotten. */
  #settleRest(signatures: ReadonlyMap<string, string>, touched: ReadonlySet<string>): void {
    for (const [key, signature] of signatures) {
      if (touched.has(key)) continue;
      this.#retries.succeeded(key);
      this.#programmed.set(key, signature);
    }
    for (const key of this.#programmed.keys()) if (!signatures.has(key)) this.#programmed.delete(key);
    this.#retries.retain((key) => signatures.has(key) || touched.has(key));
  }
}

/** Whether a device is a VXLAN device with flannel's name and ours; the kernel is asked once, and only if somebody asks. */
function tunnels(netlink: Netlink): (index: number) => boolean {
  let known: ReadonlySet<number> | undefined;
  return (index) => {
    known ??= new Set(
      listLinks(netlink, { kind: 'vxlan' })
        .filter(({ name, vxlan }) => name === `flannel.${vxlan?.vni}` || name === `flannel-v6.${vxlan?.vni}`)
        .map((link) => link.index),
    );
    return known.has(index);
  };
}

function signatureOf({ subnet, publicIp }: RoutePeer): string {
  return `${formatPrefix(subnet)} ${formatIp(publicIp)}`;
}

/** What was to go is gone. */
function isDone({ errno }: NetlinkError, change: RouteChange): boolean {
  return change.want === undefined && errno === ESRCH;
}

function interfaceGone({ name }: Device, cause: unknown): OpError {
  const detail = 'removed while routes were added';
  return new OpError({ subsystem: 'rtnetlink', op: 'add', object: `routes on ${name}`, code: 'ENODEV', detail, cause });
}
