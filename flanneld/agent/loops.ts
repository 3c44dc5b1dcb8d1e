// The agent at work: one loop keeps the overlays right, another the firewall. Changed leases, kernel events and timers
// wake them. When both have succeeded once, the node forwards and the agent says so.

import { type Loop, startLoop } from '../../lib/loop-node.ts';
import { openNetfilter } from '../../lib/netfilter/netfilter-socket.ts';
import { NFNLGRP_NFTABLES, type RulesetEvent, readRulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { NETLINK_NETFILTER } from '../../lib/netlink/constants.ts';
import type { EventWatch } from '../../lib/netlink/events-node.ts';
import { type RtnetlinkEvent, readEvent } from '../../lib/rtnetlink/event.ts';
import { changesBetween } from '../../lib/versioned-map.ts';
import type { Overlay } from '../backend/overlay.ts';
import type { Options } from '../cli/options.ts';
import type { CniFiles } from '../cni/cni-files.ts';
import { keepWatching } from '../dataplane/keep-watching.ts';
import { dispatch, FAST_PATH_GROUPS, KERNEL_GROUPS, type Listeners } from '../dataplane/kernel-events.ts';
import type { FastPath } from '../fastpath/fast-path.ts';
import type { Firewall } from '../firewall/firewall.ts';
import { FirewallLook } from '../firewall/firewall-check.ts';
import type { DriftNotes } from '../health/drift-ledger.ts';
import type { Check } from '../health/http-server.ts';
import { createFailureLog } from '../health/log.ts';
import type { Meters } from '../health/meters.ts';
import type { Readiness } from '../health/readiness.ts';
import { isForeignRule } from '../pods/refusal/rule-events.ts';
import type { PodSideLoop } from '../pods/side/pod-side-loop.ts';
import type { LeaseView } from '../subnet/lease-view.ts';
import { UNDERLAY_CHECK, type UnderlayFollower } from '../underlay/follower.ts';
import { CNI_FILES, FIREWALL, SUBNET_ENV } from './check-names.ts';
import { HeapKeeper } from './heap.ts';
import { DeadEndKeeper } from './keep-dead-ends.ts';
import { keepPodSide } from './keep-pod-side.ts';
import { keepCniFiles, publisher } from './publish.ts';
import type { AgentTools } from './tools.ts';

export interface Parts {
  readonly overlays: readonly Overlay[];
  readonly firewall: Firewall;
  readonly leases: LeaseView;
  readonly readiness: Readiness;
  /** The files to install when the node forwards. */
  readonly cniFiles: CniFiles;
  readonly options: Options;
  readonly tools: AgentTools;
  readonly drift: DriftNotes;
  readonly meters: Meters;
  /** Undefined without a fast path. */
  readonly fastPath: FastPath | undefined;
  /** Is woken when this node's place in the underlay may have changed. */
  readonly follower: Pick<UnderlayFollower, 'isConcerned' | 'wake'>;
}

export interface Running {
  /** Stops everything; resolves when nothing is left that keeps the process alive. */
  stop(): Promise<void>;
}

/** Why a run began. Only the log uses it: a run checks the same things whatever woke it. */
export type WakeReason = 'start' | 'leases' | 'kernel' | 'events lost' | 'firewall ready';

/** How often everything is checked without an event, in case one was missed. */
const AUDIT_MS = 60_000;
const OVERLAY_GAP_MS = 5;
const FIREWALL_GAP_MS = 100;

/** Starts the loops and their watches. Throws SysError when the kernel cannot be watched. */
export function startLoops(parts: Parts): Running {
  const { overlays, leases, readiness } = parts;
  readiness.expect([UNDERLAY_CHECK, ...overlays.map(({ check }) => check), FIREWALL, SUBNET_ENV, CNI_FILES], () =>
    overlays.flatMap((overlay) => overlay.peerProblems()),
  );
  const netfilter = openNetfilter(parts.tools.sys);
  // The watches start before the kernel is first read: otherwise a change between the two would be missed.
  const loops: { overlay?: Loop<WakeReason>; firewall?: Loop; podSide?: PodSideLoop } = {};
  const woken: Woken = {
    overlays: (reason) => loops.overlay?.wake(reason),
    firewall: () => loops.firewall?.wake('event'),
    podSide: () => loops.podSide,
  };
  const deadEnds = new DeadEndKeeper(parts);
  const listeners = listenersOf(parts, deadEnds, woken);
  const kernel = watchKernel(parts, deadEnds, listeners, woken);
  const ruleset = watchFirewall(parts, listeners, woken);
  const heap = new HeapKeeper(parts.tools.clock);
  const overlayLoop = startOverlayLoop(parts, deadEnds, heap, () => kernel.settle());
  const firewallLoop = startFirewallLoop(parts, netfilter.netlink, () => overlayLoop.wake('firewall ready'));
  const pods = keepPodSide(parts);
  const cniFiles = keepCniFiles(parts);
  Object.assign(loops, { overlay: overlayLoop, firewall: firewallLoop, podSide: pods });
  readiness.show('loops', () => [
    ...parts.cniFiles.checks(),
    ...parts.firewall.checks(),
    ...pods.checks(),
    ...overlays.flatMap((overlay) => overlay.notes().map(noteCheck)),
  ]);
  let known = leases.latest.leases;
  leases.listen(() => {
    heap.leasesChanged(changesBetween(known, leases.latest.leases).length);
    known = leases.latest.leases;
    parts.follower.wake();
    overlayLoop.wake('leases');
    firewallLoop.wake('leases');
  });
  return {
    async stop() {
      const looping = [overlayLoop, firewallLoop, pods, cniFiles];
      await Promise.all([...looping.map((loop) => loop.stop()), kernel.close(), ruleset.close()]);
      heap.stop();
      netfilter.close();
    },
  };
}

function noteCheck({ about, problem }: { readonly about: string; readonly problem: string }): Check {
  return { name: about, problem, required: false };
}

function startOverlayLoop(
  parts: Parts,
  deadEnds: DeadEndKeeper,
  heap: HeapKeeper,
  settle: () => Promise<void>,
): Loop<WakeReason> {
  const { overlays, leases, readiness, tools, meters } = parts;
  const failures = createFailureLog(tools.log);
  const becomeReady = publisher(parts);
  readiness.show('dead ends', () => deadEnds.checks());
  const run = async (woken: ReadonlySet<WakeReason>): Promise<number | undefined> => {
    tools.log.debug({ why: [...woken].join(', ') || 'it is time to' }, 'the comparison with the kernel');
    let nextMs: number | undefined;
    let failed: { error: unknown } | undefined;
    for (const overlay of overlays) {
      try {
        const wantedMs = await overlay.run(leases.latest, settle);
        readiness.fine(overlay.check);
        failures.recovered(overlay.name, { dev: overlay.name }, 'device is right again');
        if (wantedMs !== undefined) nextMs = Math.min(nextMs ?? wantedMs, wantedMs);
      } catch (error) {
        // The error is thrown only after the loop, so that the other family still has its turn.
        readiness.failed(overlay.check, error);
        failures.failed(overlay.name, error, { dev: overlay.name }, 'device is wrong, will retry');
        failed ??= { error };
      }
    }
    if (failed !== undefined) throw failed.error;
    deadEnds.ensure();
    becomeReady();
    // Events may have arrived for a family while the other one had its turn; then run again at once.
    return overlays.some(({ hasNews }) => hasNews) ? 0 : nextMs;
  };
  const measured = (woken: ReadonlySet<WakeReason>): Promise<number | undefined> =>
    meters.overlay.measure(() => run(woken)).finally(() => heap.worked());
  return startLoop({
    run: measured,
    onError: () => undefined,
    clock: tools.clock,
    minGapMs: OVERLAY_GAP_MS,
    auditMs: AUDIT_MS,
  });
}

function startFirewallLoop(
  { firewall, readiness, options, tools, meters }: Parts,
  netfilter: Netlink,
  onReady: () => void,
): Loop {
  const failures = createFailureLog(tools.log);
  const auditMs = Math.max(options.firewall.resyncSec * 1000, 1000);
  const look = new FirewallLook(firewall, netfilter, () => tools.clock.now());
  const run = async (woken: ReadonlySet<string>): Promise<undefined> => {
    try {
      await look.run(woken);
    } catch (error) {
      readiness.failed(FIREWALL, error);
      failures.failed(FIREWALL, error, {}, 'firewall is wrong, will retry');
      throw error;
    }
    failures.recovered(FIREWALL, {}, 'firewall is right again');
    const news = !readiness.isFine(FIREWALL);
    readiness.fine(FIREWALL);
    if (news) onReady();
    return undefined;
  };
  const measured = (woken: ReadonlySet<string>): Promise<undefined> => meters.firewall.measure(() => run(woken));
  return startLoop({ run: measured, onError: () => undefined, clock: tools.clock, minGapMs: FIREWALL_GAP_MS, auditMs });
}

/** The loops that an event may wake. */
interface Woken {
  readonly overlays: (reason: WakeReason) => void;
  readonly firewall: () => void;
  /** Returns undefined until that loop has started. */
  readonly podSide: () => PodSideLoop | undefined;
}

/** The only watch of rtnetlink events; every part that needs events gets them from here. */
function watchKernel(
  { overlays, tools, follower, fastPath }: Parts,
  deadEnds: DeadEndKeeper,
  listeners: Listeners,
  woken: Woken,
): EventWatch {
  let isLost = false;
  return keepWatching(tools, {
    groups: fastPath === undefined ? KERNEL_GROUPS : [...KERNEL_GROUPS, ...FAST_PATH_GROUPS],
    onMessage(message) {
      const event = readEvent(message);
      if (event !== undefined) dispatch(event, listeners);
    },
    onOverflow() {
      isLost = true;
      for (const overlay of overlays) overlay.doubt();
      fastPath?.doubt();
      follower.wake();
      woken.podSide()?.wake('event');
    },
    onDrained() {
      if ([deadEnds, ...overlays].some(({ hasNews }) => hasNews)) woken.overlays(isLost ? 'events lost' : 'kernel');
      isLost = false;
    },
  });
}

function watchFirewall({ tools, fastPath }: Parts, listeners: Listeners, woken: Woken): EventWatch {
  return keepWatching(tools, {
    protocol: NETLINK_NETFILTER,
    groups: [NFNLGRP_NFTABLES],
    onMessage(message) {
      const event = readRulesetEvent(message);
      if (event !== undefined) dispatch(event, listeners);
    },
    onOverflow() {
      woken.firewall();
      woken.podSide()?.rulesChanged();
      fastPath?.rulesChanged();
    },
  });
}

/** Which parts receive which kind of event. */
function listenersOf(
  { overlays, follower, firewall, fastPath }: Parts,
  deadEnds: DeadEndKeeper,
  woken: Woken,
): Listeners {
  const overlaysHear = overlays.map((overlay) => (event: RtnetlinkEvent) => overlay.hear(event));
  const followerHears = (event: RtnetlinkEvent): void => {
    if (follower.isConcerned(event)) follower.wake();
  };
  const fastPathHears = (event: RtnetlinkEvent): void => fastPath?.hear(event);
  const deadEndsHear = (event: RtnetlinkEvent): void => deadEnds.hear(event);
  const podSideHears = (event: RtnetlinkEvent): void => {
    if (woken.podSide()?.isConcerned(event)) woken.podSide()?.wake('event');
  };
  const firewallHears = (event: RulesetEvent): void => {
    if (firewall.isConcerned(event)) woken.firewall();
    if (isForeignRule(event)) woken.podSide()?.rulesChanged();
    if (isForeignRule(event)) fastPath?.rulesChanged();
  };
  return {
    link: [fastPathHears, ...overlaysHear, followerHears, podSideHears],
    address: [...overlaysHear, followerHears, podSideHears, deadEndsHear],
    neigh: [...overlaysHear, fastPathHears],
    fdb: [...overlaysHear, fastPathHears],
    nexthop: overlaysHear,
    route: [...overlaysHear, followerHears, deadEndsHear, fastPathHears],
    netconf: [podSideHears, fastPathHears],
    rule: [podSideHears, fastPathHears],
    qdisc: [fastPathHears],
    ruleset: [firewallHears],
  };
}
