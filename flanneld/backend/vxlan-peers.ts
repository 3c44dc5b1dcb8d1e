// The peers of a VXLAN overlay: behind the tunnel, or, with DirectRouting, on the external interface's own link.

import type { Clock } from '../../lib/clock-node.ts';
import type { Family } from '../../lib/ip.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import type { OverlayConfig } from '../dataplane/peer.ts';
import { PeerReconciler } from '../dataplane/reconciler.ts';
import { RouteReconciler } from '../dataplane/route-reconciler.ts';
import type { Device } from '../dataplane/state.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';
import { DirectRouting, type Split } from './direct-routing.ts';
import type { OverlayCounts, OverlayTools } from './overlay.ts';

export interface VxlanRun {
  readonly device: Device;
  /** The external interface. */
  readonly underlay: Device;
  readonly config: OverlayConfig;
  /** Something in the kernel has changed. */
  readonly changed: boolean;
  /** There is a reason to run, and it is not the kernel. */
  readonly quiet: boolean;
}

/** Without any event the kernel is asked again after this, for what no event tells: rules of policy routing. */
const ASK_AGAIN_MS = 25_000;

const NOBODY: Split['direct'] = [];
const NOTHING: Split['moving'] = new Set();

export class VxlanPeers {
  readonly #tunnelled: PeerReconciler;
  readonly #direct: RouteReconciler;
  readonly #routing: DirectRouting | undefined;
  readonly #clock: Clock;
  #askedMs = Number.NEGATIVE_INFINITY;
  #directCount = 0;

  constructor(tools: OverlayTools, directRouting: boolean) {
    this.#clock = tools.clock;
    this.#tunnelled = new PeerReconciler(tools);
    this.#direct = new RouteReconciler(tools);
    this.#routing = directRouting ? new DirectRouting(tools.netlink) : undefined;
  }

  get count(): number {
    return this.#tunnelled.peerCount + this.#directCount;
  }

  get counts(): OverlayCounts {
    const { wanted, programmed, failing } = this.#tunnelled.counts;
    const direct = this.#direct.programmed;
    const counts = {
      wanted: wanted + this.#directCount,
      programmed: programmed + direct,
      failing: failing + this.#directCount - direct,
    };
    return this.#routing === undefined ? counts : { ...counts, direct };
  }

  /** Whether an event about the device `index` only tells of what was done for the peers behind the tunnel. */
  isEcho(message: MessageReader, index: number): boolean {
    return this.#tunnelled.isEcho(message, index);
  }

  problems(): PeerProblem[] {
    return [...this.#tunnelled.problems(), ...this.#direct.problems()];
  }

  #isStale(): boolean {
    const nowMs = this.#clock.now();
    if (nowMs - this.#askedMs < ASK_AGAIN_MS) return false;
    this.#askedMs = nowMs;
    return true;
  }

  /** Resolves to the milliseconds after which it wants to run again. Rejects when the kernel cannot be read. */
  async run(snapshot: LeaseSnapshot, where: VxlanRun): Promise<number | undefined> {
    const { device, underlay, config, changed, quiet } = where;
    const { family, network } = config;
    const link = { device: underlay, family, network, retryNow: changed };
    if (this.#routing === undefined) {
      const purge = { ...link, peers: NOBODY, moving: NOTHING };
      // What an agent with DirectRouting has left is replaced first, but for what nobody wants.
      if (mustGoFirst(family)) await this.#direct.run(purge);
      const retryMs = await this.#tunnelled.run(device, snapshot.leases, config, snapshot.problems, quiet);
      if (!mustGoFirst(family)) await this.#direct.run(purge);
      return retryMs;
    }
    const split = await this.#routing.split(snapshot, config, underlay, changed || this.#isStale());
    // Direct routes first: each replaces that of the tunnel, and one that is to be tunnelled stays until it is replaced.
    const moving = mustGoFirst(family) ? NOTHING : split.moving;
    const directMs = await this.#direct.run({ ...link, peers: split.direct, moving });
    this.#directCount = split.direct.length;
    const unreadable = [...snapshot.problems, ...split.problems];
    const tunnelMs = await this.#tunnelled.run(device, split.tunnelled, config, unreadable);
    const soonest = Math.min(directMs ?? Infinity, tunnelMs ?? Infinity);
    return soonest === Infinity ? undefined : soonest;
  }
}

/**
 * Whether a direct route must be gone before the tunnel's can be made: IPv6 takes no gateway on a device, not even
 * onlink, that another route leads to elsewhere (net/ipv6/route.c ip6_route_check_nh_onlink). A packet or two are lost.
 */
function mustGoFirst(family: Family): boolean {
  return family === 6;
}
