// The agent's loop of probes: the schedule says which peer is next, it is examined, and the result is remembered and reported. A probe
// never makes the node not ready: one broken link would then take down a cluster.

import { breathe } from '../../lib/clock-node.ts';
import { errorText } from '../../lib/errors.ts';
import type { Family } from '../../lib/ip.ts';
import type { Finding } from '../health/finding.ts';
import type { Logger } from '../health/log.ts';
import type { ProbeMeter } from '../health/probe-meter.ts';
import type { ProbePeer, ProbesStatus } from '../health/status/probes-status.ts';
import type { Lease } from '../subnet/manager.ts';
import { passed } from './ask.ts';
import { classify } from './classify.ts';
import { type Evidence, examine } from './examine.ts';
import { type Affected, findingsOf } from './findings.ts';
import { PeerRecord } from './peer-record.ts';
import { ProbeSockets, type ProbeSocketTools } from './probe-sockets.ts';
import { Responder } from './responder.ts';
import { ProbeSchedule } from './schedule.ts';
import { type LeasedPlace, sameTarget, type Target, Targets } from './target.ts';

/** The shortest time between two ticks, so that several probes share one wake-up. */
const TICK_MS = { few: 250, many: 1000 } as const;
const MANY = 100;
/**
 * How often packets are read where there are many peers. It does not count in round trips: the kernel stamps packets, and the responder
 * says how long it held them. It must be shorter than every wait for an answer; the shortest is SIZE_MS of examine.ts.
 */
const READ_MS = 400;
const LONGEST_TICK_MS = 2500;
/** For how long a cause is not examined again where there are many peers. */
const DIAGNOSED_MS = 150_000;
/** How many peers the status lists, the worst first. */
const LISTED = 1000;

export interface ProberOptions {
  readonly node: string;
  /** The UDP port of all agents' probes. */
  readonly port: number;
  /** This node's side of each family at present; empty while the devices do not exist. */
  readonly places: () => readonly LeasedPlace[];
  readonly leases: () => ReadonlyMap<string, Lease>;
  readonly tools: ProbeSocketTools & { readonly log: Logger; readonly random: () => number };
  readonly meter: ProbeMeter;
}

/** What one family has at work. */
interface Side {
  readonly place: LeasedPlace;
  readonly sockets: ProbeSockets;
  readonly responder: Responder;
  readonly targets: Targets;
}

export class Prober {
  readonly #options: ProberOptions;
  readonly #schedule: ProbeSchedule;
  readonly #sides = new Map<Family, Side>();
  readonly #records = new Map<string, PeerRecord>();
  #leases: ReadonlyMap<string, Lease> | undefined;
  #problem: string | undefined;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#schedule = new ProbeSchedule({ own: options.node, random: options.tools.random });
    this.#plan(TICK_MS.few);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await Promise.all([...this.#sides.values()].map(({ sockets }) => sockets.close()));
  }

  #plan(ms: number): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.tools.clock.after(ms, () => {
      this.#tick().catch((error: unknown) => {
        this.#problem = errorText(error);
        this.#plan(LONGEST_TICK_MS);
      });
    });
  }

  async #tick(): Promise<void> {
    const { clock } = this.#options.tools;
    await this.#follow();
    if (this.#stopped) return;
    for (let id = this.#schedule.next(clock.now()); id !== undefined; id = this.#schedule.next(clock.now())) {
      void this.#probe(id);
    }
    const leastMs = this.#records.size > MANY ? TICK_MS.many : TICK_MS.few;
    this.#plan(Math.min(LONGEST_TICK_MS, Math.max(leastMs, this.#schedule.waitMs(clock.now()))));
  }

  /** Follows the leases and this node's own devices. */
  async #follow(): Promise<void> {
    const { places, leases } = this.#options;
    const now = places();
    const latest = leases();
    const isSame = now.length === this.#sides.size && now.every((one) => this.#sides.get(one.family)?.place === one);
    if (isSame && latest === this.#leases) return;
    const earlier = isSame ? this.#leases : undefined;
    await this.#setPlaces(now);
    if (earlier === undefined || !this.#changeTargets(earlier, latest)) await this.#setTargets(latest);
    this.#leases = latest;
  }

  async #setPlaces(places: readonly LeasedPlace[]): Promise<void> {
    for (const [family, { place, sockets }] of [...this.#sides]) {
      if (places.includes(place)) continue;
      this.#sides.delete(family);
      await sockets.close();
    }
    const { port, tools } = this.#options;
    for (const place of places) {
      if (this.#sides.has(place.family) || this.#stopped) continue;
      const responder = new Responder(place);
      const onError = (error: unknown): void => this.#lost(place.family, error);
      const sockets = new ProbeSockets(place, port, responder, tools, onError);
      if (sockets.problem !== undefined) tools.log.warn({ dev: place.tunnel.device }, sockets.problem);
      this.#sides.set(place.family, { place, sockets, responder, targets: new Targets(place) });
    }
    this.#problem = undefined;
  }

  /** Gives up a family's sockets that failed; they are opened again at the next tick. */
  #lost(family: Family, error: unknown): void {
    this.#sides.delete(family);
    this.#leases = undefined;
    this.#options.tools.log.warn({ err: errorText(error) }, 'probe sockets failed, will open them anew');
  }

  /**
   * Takes in leases that have changed, without touching the others: among thousands of nodes this is what happens most. Returns false when
   * targets have come or gone; then all must be set.
   */
  #changeTargets(earlier: ReadonlyMap<string, Lease>, leases: ReadonlyMap<string, Lease>): boolean {
    for (const { targets, responder } of this.#sides.values()) {
      const changes = targets.changes(earlier, leases);
      if (changes === undefined) return false;
      for (const { after } of changes) this.#changeTarget(after);
      if (changes.length > 0) responder.changeTargets(changes, this.#targetsOf(targets.family));
    }
    return true;
  }

  #changeTarget(target: Target): void {
    const record = this.#records.get(target.id);
    if (record !== undefined && sameTarget(record.target, target)) {
      record.target = target;
      return;
    }
    this.#records.set(target.id, new PeerRecord(target));
    this.#schedule.renew(target.id, this.#options.tools.clock.now());
  }

  *#targetsOf(family: Family): Iterable<Target> {
    for (const { target } of this.#records.values()) if (target.family === family) yield target;
  }

  async #setTargets(leases: ReadonlyMap<string, Lease>): Promise<void> {
    const all = new Map<string, Target>();
    for (const { targets, responder } of this.#sides.values()) {
      const found = await targets.update(leases);
      responder.setTargets(found);
      await breathe();
      for (const target of found) all.set(target.id, target);
    }
    const renewed = new Set<string>();
    for (const id of this.#records.keys()) if (!all.has(id)) this.#records.delete(id);
    for (const [id, target] of all) {
      const record = this.#records.get(id);
      if (record !== undefined && sameTarget(record.target, target)) {
        record.target = target;
        continue;
      }
      if (record !== undefined) renewed.add(id);
      this.#records.set(id, new PeerRecord(target));
    }
    await breathe();
    const names = new Map([...all].map(([id, { peer }]) => [id, peer]));
    for (const { sockets } of this.#sides.values()) sockets.readEveryMs = all.size > MANY ? READ_MS : 0;
    this.#schedule.setTargets(names, this.#options.tools.clock.now(), renewed);
  }

  async #probe(id: string): Promise<void> {
    const { clock } = this.#options.tools;
    const record = this.#records.get(id);
    const side = record && this.#sides.get(record.target.family);
    let hasFailed = false;
    if (record !== undefined && side !== undefined) {
      const { target } = record;
      const evidence = await examine({
        target,
        mtu: side.place.mtu,
        tunnel: side.place.tunnel,
        ask: (...args) => side.sockets.ask(...args),
        nowMs: Date.now,
        isBrief: this.#isBrief(record),
        onExtra: (packets) => this.#schedule.spend(id, packets),
      });
      // Meanwhile the lease or the device may have changed or gone; then the replies say nothing.
      if (this.#records.get(id) === record && this.#sides.get(target.family) === side && !this.#stopped) {
        hasFailed = this.#judge(record, side, evidence);
      }
    }
    this.#schedule.done(id, clock.now(), hasFailed);
  }

  /** Where there are many peers, a known fault is not examined again each time. */
  #isBrief({ diagnosedAtMs, failingSinceMs }: PeerRecord): boolean {
    if (this.#records.size <= MANY || diagnosedAtMs === undefined || failingSinceMs === undefined) return false;
    return Date.now() - diagnosedAtMs < DIAGNOSED_MS;
  }

  #judge(record: PeerRecord, { place, responder }: Side, evidence: Evidence): boolean {
    const { node, meter } = this.#options;
    const { target, failingSinceMs } = record;
    const nowMs = Date.now();
    if (isSilent(evidence) && evidence.faults === undefined) {
      record.stillFails(nowMs);
      return true;
    }
    const heardAtMs = responder.heardAtMs(target.id);
    const agentSilentMs = record.agentSilentMs(nowMs);
    const verdict = classify(evidence, { node, target, place, heardAtMs, failingSinceMs, agentSilentMs });
    const before = record.problem?.id;
    record.take(verdict, evidence.startedAtMs, nowMs, evidence.isSecondTry === true || !passed(evidence.full));
    meter.count(record.state);
    if (verdict.rttMs !== undefined) meter.rtt.observe(verdict.rttMs / 1000);
    this.#tell(record, before);
    return record.state === 'unreachable' || evidence.small !== undefined;
  }

  #tell({ problem, target }: PeerRecord, before: string | undefined): void {
    if (problem?.id === before) return;
    const { log } = this.#options.tools;
    const peer = { peer: target.peer, family: target.family };
    if (problem === undefined) log.info({ ...peer, finding: before }, 'peer answers probes again');
    else log.warn({ ...peer, finding: problem.id, evidence: problem.evidence, fix: problem.fix }, problem.cause);
  }

  findings(): Finding[] {
    const affected: Affected[] = [];
    let probed = 0;
    for (const { target, problem, checkedAtMs } of this.#records.values()) {
      if (checkedAtMs !== undefined) probed++;
      if (problem !== undefined) affected.push({ peer: target.peer, problem });
    }
    return findingsOf(this.#options.node, affected, probed);
  }

  status(): ProbesStatus {
    const nowMs = Date.now();
    const states = { reachable: 0, degraded: 0, unreachable: 0, unknown: 0 };
    const peers: ProbePeer[] = [];
    let oldestMs: number | undefined;
    for (const record of this.#records.values()) {
      states[record.state]++;
      const { checkedAtMs } = record;
      if (checkedAtMs !== undefined) oldestMs = Math.min(oldestMs ?? checkedAtMs, checkedAtMs);
      peers.push(peerOf(record, nowMs));
    }
    const [problem] = [this.#problem, ...[...this.#sides.values()].map(({ sockets }) => sockets.problem)].filter(
      (one) => one !== undefined,
    );
    return {
      port: this.#options.port,
      ...(problem !== undefined && { problem }),
      states,
      ...(oldestMs !== undefined && { oldestSec: Math.max(0, Math.round((nowMs - oldestMs) / 1000)) }),
      peers: peers.sort(worstFirst).slice(0, LISTED),
    };
  }
}

function isSilent({ full, small }: Evidence): boolean {
  return !passed(full) && !passed(small);
}

const RANK = { unreachable: 0, degraded: 1, unknown: 2, reachable: 3 };

function worstFirst(a: ProbePeer, b: ProbePeer): number {
  return RANK[a.state] - RANK[b.state] || b.loss - a.loss || (b.rttMs ?? 0) - (a.rttMs ?? 0);
}

function peerOf(
  { target, state, rttMs, loss, problem, checkedAtMs, failingSinceMs }: PeerRecord,
  nowMs: number,
): ProbePeer {
  return {
    peer: target.peer,
    family: target.family,
    state,
    loss,
    ...(rttMs !== undefined && { rttMs: Math.round(rttMs * 1000) / 1000 }),
    ...(problem && { finding: problem.id }),
    ...(checkedAtMs !== undefined && { ageSec: Math.max(0, Math.round((nowMs - checkedAtMs) / 1000)) }),
    ...(failingSinceMs !== undefined && { failingSec: Math.max(0, Math.round((nowMs - failingSinceMs) / 1000)) }),
  };
}
