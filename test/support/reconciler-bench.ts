// A reconciler of a VXLAN overlay's peers on a kernel in memory, with its log, its noted drift and a clock that the test moves.

import { VXLAN_KINDS, type VxlanPeer, VxlanPlanner, vxlanObjects } from '../../flanneld/backend/vxlan/vxlan-peers.ts';
import type { Mirror } from '../../flanneld/dataplane/mirror.ts';
import { Reconciler } from '../../flanneld/dataplane/reconciler.ts';
import { DriftLedger } from '../../flanneld/health/drift-ledger.ts';
import type { Facts } from '../../flanneld/health/log.ts';
import type { PeerProblem } from '../../flanneld/health/peer-problem.ts';
import type { Lease, LeaseSnapshot } from '../../flanneld/subnet/manager.ts';
import { EchoKernel } from './echo-kernel.ts';
import { nodeOne } from './leases.ts';

/** The overlay's device. */
export const device = { index: 7, name: 'flannel.1' };
const underlay = { index: 3, name: 'eth0' };
const NO_PROBLEMS: readonly PeerProblem[] = [];

interface Line extends Facts {
  readonly level: string;
  readonly msg: string;
}

export class ReconcilerBench {
  readonly kernel = new EchoKernel(device.index);
  readonly lines: Line[] = [];
  readonly reconciler: Reconciler<VxlanPeer>;
  readonly planner = new VxlanPlanner(nodeOne, undefined);
  readonly drift = new DriftLedger();
  debugLines = 0;
  #snapshot: LeaseSnapshot = { leases: new Map(), problems: [] };
  nowMs = 0;

  constructor() {
    const say =
      (level: string) =>
      (facts: Facts, msg: string): void =>
        void this.lines.push({ ...facts, level, msg });
    const log = { error: say('error'), warn: say('warn'), info: say('info'), debug: () => void this.debugLines++ };
    const clock = { now: () => this.nowMs, after: () => () => undefined };
    const peers = { kinds: VXLAN_KINDS, objects: vxlanObjects };
    this.reconciler = new Reconciler(peers, { netlink: this.kernel.netlink, log, clock, drift: this.drift });
    this.kernel.hear = (event) => this.reconciler.hear(event);
  }

  /** Equal arguments count as one snapshot, as from a store in which nothing has changed. Everything is listed first. */
  run(leases: Record<string, Lease>): Promise<number | undefined> {
    this.reconciler.doubt();
    return this.runQuietly(leases);
  }

  /** The same without listing: the mirror knows only what the kernel's events say. */
  runQuietly(leases: Record<string, Lease>, tunnel = device): Promise<number | undefined> {
    const entries = Object.entries(leases);
    const { leases: before } = this.#snapshot;
    const same = entries.length === before.size && entries.every(([key, at]) => before.get(key) === at);
    if (!same) this.#snapshot = { leases: new Map(entries), problems: NO_PROBLEMS };
    const place = { family: 4 as const, network: nodeOne.network, tunnel, underlay };
    const plan = (mirror: Mirror) => this.planner.plan(this.#snapshot, { mirror, place, isRerouted: false });
    return this.reconciler.run({ place, plan, settle: this.kernel.settle });
  }

  /** Messages since the last call. */
  said(): string[] {
    return this.lines.splice(0).map(({ level, msg }) => `${level}: ${msg}`);
  }

  /** Changes that were sent to the kernel since the last call. */
  asked(): string[] {
    return this.kernel.asked.splice(0);
  }
}
