// The agent at work: one loop keeps the overlays right, another the firewall; leases, kernel events and periods wake
// them. When both have succeeded once the node forwards, and says so.

import { type Loop, startLoop } from '../../lib/loop-node.ts';
import { openNetfilter } from '../../lib/netfilter/connection.ts';
import { NFNLGRP_NFTABLES, readRulesetEvent } from '../../lib/netfilter/ruleset-event.ts';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { NETLINK_NETFILTER } from '../../lib/netlink/constants.ts';
import type { EventWatch } from '../../lib/netlink/events-node.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import { type RtnetlinkEvent, readEvent } from '../../lib/rtnetlink/event.ts';
import type { Overlay } from '../backend/overlay.ts';
import type { Options } from '../cli/options.ts';
import type { CniFiles } from '../cni/cni-files.ts';
import { keepWatching } from '../dataplane/keep-watching.ts';
import { type Concern, concerning, KERNEL_GROUPS } from '../dataplane/kernel-events.ts';
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
import { keepPodSide } from './pod-side.ts';
import { keepCniFiles, publisher } from './publish.ts';
import type { AgentTools } from './tools.ts';

export interface Parts {
  readonly overlays: readonly Overlay[];
  readonly firewall: Firewall;
  readonly leases: LeaseView;
  readonly readiness: Readiness;
  /** What to install when ready. */
  readonly cniFiles: CniFiles;
  readonly options: Options;
  readonly tools: AgentTools;
  readonly drift: DriftNotes;
  readonly meters: Meters;
  /** Told when this node's place in the underlay may have changed. */
  readonly follower: Pick<UnderlayFollower, 'isConcerned' | 'wake'>;
}

export interface Running {
  /** Stops everything; resolves when nothing is left that keeps the process alive. */
  stop(): Promise<void>;
}

/** With events, looking without a reason is only a net under the rope; at 5000 peers each look is 0.1 s of processor time. */
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
  // Watch first, then look: no change falls between the two.
  const wake = { overlay: (_: string): void => undefined, firewall: (_: string): void => undefined };
  let podSide: PodSideLoop | undefined;
  const watches = [
    watchKernel(
      parts,
      (reason) => wake.overlay(reason),
      () => podSide,
    ),
    watchFirewall(
      parts,
      () => wake.firewall('event'),
      () => podSide?.rulesChanged(),
    ),
  ];
  const heap = new HeapKeeper(parts.tools.clock);
  const overlayLoop = startOverlayLoop(parts, heap);
  const firewallLoop = startFirewallLoop(parts, netfilter.netlink, () => overlayLoop.wake('firewall ready'));
  const pods = keepPodSide(parts);
  const cniFiles = keepCniFiles(parts);
  podSide = pods;
  readiness.show('loops', () => [
    ...parts.cniFiles.checks(),
    ...parts.firewall.checks(),
    ...pods.checks(),
    ...overlays.flatMap((overlay) => (overlay.notes?.() ?? []).map(noteCheck)),
  ]);
  wake.overlay = (reason) => overlayLoop.wake(reason);
  wake.firewall = (reason) => firewallLoop.wake(reason);
  leases.listen(() => {
    heap.leasesChanged();
    parts.follower.wake();
    overlayLoop.wake('leases');
  });
  return {
    async stop() {
      await Promise.all([
        overlayLoop.stop(),
        firewallLoop.stop(),
        pods.stop(),
        cniFiles.stop(),
        ...watches.map((watch) => watch.close()),
      ]);
      heap.stop();
      netfilter.close();
    },
  };
}

function noteCheck({ about, problem }: { readonly about: string; readonly problem: string }): Check {
  return { name: about, problem, required: false };
}

function startOverlayLoop(parts: Parts, heap: HeapKeeper): Loop {
  const { overlays, leases, readiness, tools, meters } = parts;
  const failures = createFailureLog(tools.log);
  const becomeReady = publisher(parts);
  const deadEnds = new DeadEndKeeper(parts);
  readiness.show('dead ends', () => deadEnds.checks());
  const run = async (woken: ReadonlySet<string>): Promise<number | undefined> => {
    let nextMs: number | undefined;
    let failed: { error: unknown } | undefined;
    for (const overlay of overlays) {
      try {
        const wantedMs = await overlay.run(leases.latest, woken);
        readiness.fine(overlay.check);
        failures.recovered(overlay.name, { dev: overlay.name }, 'device is right again');
        if (wantedMs !== undefined) nextMs = Math.min(nextMs ?? wantedMs, wantedMs);
      } catch (error) {
        // One family's trouble does not keep the other from being looked at.
        readiness.failed(overlay.check, error);
        failures.failed(overlay.name, error, { dev: overlay.name }, 'device not right, will retry');
        failed ??= { error };
      }
    }
    if (failed !== undefined) throw failed.error;
    deadEnds.ensure(woken);
    becomeReady();
    return nextMs;
  };
  const measured = (woken: ReadonlySet<string>): Promise<number | undefined> =>
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
  const look = new FirewallLook(firewall, netfilter);
  const run = async (woken: ReadonlySet<string>): Promise<undefined> => {
    try {
      await look.run(woken.size > 0);
    } catch (error) {
      readiness.failed(FIREWALL, error);
      failures.failed(FIREWALL, error, {}, 'firewall not right, will retry');
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

function watchKernel(
  { overlays, tools, follower }: Parts,
  wake: (reason: string) => void,
  podSide: () => PodSideLoop | undefined,
): EventWatch {
  const names = new Set(overlays.flatMap((overlay) => [overlay.name, overlay.underlay]));
  const networks = overlays.map(({ network }) => network);
  const concern = (): Concern => ({
    names,
    networks,
    indexes: indexesOf(overlays, 'deviceIndex'),
    underlays: indexesOf(overlays, 'underlayIndex'),
  });
  const isEcho = (message: MessageReader): boolean => overlays.some((overlay) => overlay.isEcho?.(message) ?? false);
  const reasonIn = (message: MessageReader, event: RtnetlinkEvent): string | undefined => {
    const reason = concerning(event, current);
    return reason === undefined || isEcho(message) ? undefined : reason;
  };
  let pending: string | undefined;
  let current = concern();
  let placeMayMove = false;
  let podSideMayDiffer = false;
  return keepWatching(tools, {
    groups: KERNEL_GROUPS,
    onMessage(message) {
      // One reason to look is enough; until then nothing more needs decoding.
      if (pending !== undefined && placeMayMove && podSideMayDiffer) return;
      const event = readEvent(message);
      if (event === undefined) return;
      placeMayMove ||= follower.isConcerned(event);
      podSideMayDiffer ||= podSide()?.isConcerned(event) ?? false;
      pending ??= reasonIn(message, event);
    },
    onOverflow() {
      pending = 'events lost';
      placeMayMove = true;
      podSideMayDiffer = true;
    },
    onDrained() {
      current = concern();
      if (placeMayMove) follower.wake();
      placeMayMove = false;
      if (podSideMayDiffer) podSide()?.wake('event');
      podSideMayDiffer = false;
      if (pending === undefined) return;
      wake(pending);
      pending = undefined;
    },
  });
}

function indexesOf(overlays: readonly Overlay[], of: 'deviceIndex' | 'underlayIndex'): ReadonlySet<number> {
  return new Set(overlays.flatMap(({ [of]: index }) => (index === undefined ? [] : [index])));
}

function watchFirewall({ firewall, tools }: Parts, wake: () => void, rulesChanged: () => void): EventWatch {
  return keepWatching(tools, {
    protocol: NETLINK_NETFILTER,
    groups: [NFNLGRP_NFTABLES],
    onMessage(message) {
      const event = readRulesetEvent(message);
      if (event === undefined) return;
      if (firewall.isConcerned(event)) wake();
      if (isForeignRule(event)) rulesChanged();
    },
    onOverflow() {
      wake();
      rulesChanged();
    },
  });
}
