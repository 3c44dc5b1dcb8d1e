// The loop that checks the pods' side of the node: it decides which events start a check, and reports the findings.

import type { Clock } from '../../../lib/clock-node.ts';
import { errorText } from '../../../lib/errors.ts';
import { startLoop } from '../../../lib/loop-node.ts';
import type { RtnetlinkEvent } from '../../../lib/rtnetlink/event.ts';
import { NETCONFA_IFINDEX_ALL } from '../../../lib/rtnetlink/netconf.ts';
import type { Check } from '../../health/http-server.ts';
import { createFailureLog, type Logger } from '../../health/log.ts';
import type { SubnetManager } from '../../subnet/manager.ts';
import type { ForwardProbe } from '../refusal/forward-probe.ts';
import type { Finding } from './compare-pod-side.ts';
import type { PodSide, PodSideFacts, PodSideLook } from './pod-side.ts';

export interface PodSideParts {
  readonly side: PodSide;
  readonly facts: () => PodSideFacts;
  readonly probe: ForwardProbe;
  readonly log: Logger;
  readonly clock: Clock;
  /** Reports to the cluster (as a Kubernetes Event), in addition to the log. */
  readonly manager: Pick<SubnetManager, 'report'>;
}

export interface PodSideLoop {
  /** Call when somebody has changed a rule of the packet filter. */
  rulesChanged(): void;
  /** Whether an event is about the pods' side. */
  isConcerned(event: RtnetlinkEvent): boolean;
  wake(reason: string): void;
  /** Lines for /readyz?verbose; a required one with a problem makes the node unready. */
  checks(): Check[];
  stop(): Promise<void>;
}

/**
 * How often to check without an event, since some changes cause none here (routes, iptables-legacy's rules). Problems must show within 5 s.
 */
const AUDIT_MS = 3000;
/** An ADD or a DEL makes a dozen events in a few milliseconds. */
const GAP_MS = 200;
/** When to check again what looked wrong: an ADD may be running for some milliseconds. */
const SETTLE_MS = 250;

/** Starts the loop; the first check is at once. */
export function startPodSideLoop(parts: PodSideParts): PodSideLoop {
  const { side, facts, probe, clock, log } = parts;
  const failures = createFailureLog(log);
  const known = new Findings(parts);
  let seen: PodSideLook['observed'];
  let tunnels: ReadonlySet<number> = new Set();
  const run = async (): Promise<number | undefined> => {
    const now = facts();
    tunnels = new Set(now.tunnels.map(({ index }) => index));
    const look = side.look(now);
    seen = look.observed;
    known.set([...look.findings, ...(await refusals(probe, look, now))]);
    failures.recovered('look', {}, 'the pods’ bridge and ports can be read again');
    return look.isUnsettled ? SETTLE_MS : probe.waitMs();
  };
  const onError = (error: unknown): void =>
    failures.failed('look', error, {}, `the pods’ bridge and ports are wrong, will retry: ${errorText(error)}`);
  const loop = startLoop({ run, onError, clock, minGapMs: GAP_MS, auditMs: AUDIT_MS });
  return {
    isConcerned: (event) => concerns(event, seen?.bridge?.index, tunnels),
    wake: (reason) => loop.wake(reason),
    rulesChanged: () => {
      probe.rulesChanged();
      loop.wake('rules');
    },
    checks: () => known.checks(),
    stop: () => loop.stop(),
  };
}

/** Probes only if nothing else keeps packets from being forwarded and there are pods; otherwise a probe would show nothing. */
async function refusals(
  probe: ForwardProbe,
  { observed, findings, isUnsettled }: PodSideLook,
  { paths }: PodSideFacts,
): Promise<readonly Finding[]> {
  const isStopped = isUnsettled || findings.some(({ required }) => required);
  if (observed?.bridge === undefined || observed.ports.length === 0 || isStopped) {
    probe.forget();
    return [];
  }
  return await probe.look(observed.bridge, paths);
}

function concerns(event: RtnetlinkEvent, bridge: number | undefined, tunnels: ReadonlySet<number>): boolean {
  switch (event.kind) {
    case 'link': {
      const { kind, index, master } = event.object;
      // A bridge's event about its port does not name the kind of the device.
      if (kind === 'bridge' || (master !== undefined && master === bridge)) return true;
      return index === bridge || (kind === 'veth' && (master ?? 0) === 0);
    }
    case 'address':
      return event.object.index === bridge;
    case 'netconf': {
      const { index } = event.object;
      return index === NETCONFA_IFINDEX_ALL || index === bridge || tunnels.has(index);
    }
    case 'rule':
      return true;
    default:
      return false;
  }
}

/** The present findings; each is reported once. */
class Findings {
  readonly #tools: Pick<PodSideParts, 'log' | 'manager'>;
  #now: readonly Finding[] = [];

  constructor(tools: Pick<PodSideParts, 'log' | 'manager'>) {
    this.#tools = tools;
  }

  set(findings: readonly Finding[]): void {
    const { log, manager } = this.#tools;
    const before = new Set(this.#now.map(keyOf));
    const after = new Set(findings.map(keyOf));
    for (const { key, problem, required } of findings.filter((finding) => !before.has(keyOf(finding)))) {
      log.warn(
        { about: key, problem },
        required ? 'pods’ packets are not forwarded' : 'the pods’ bridge and ports are wrong',
      );
      if (required) manager.report?.('PodsNotForwarded', problem);
    }
    for (const { key } of this.#now.filter((finding) => !after.has(keyOf(finding)))) {
      log.info({ about: key }, 'the pods’ bridge and ports are right again');
    }
    this.#now = findings;
  }

  checks(): Check[] {
    return this.#now.map(({ key, problem, required }) => ({ name: key, problem, required }));
  }
}

function keyOf({ key, required }: Finding): string {
  return `${key} ${required}`;
}
