// Decides which findings become Kubernetes Events: one when a problem appears and one when it has ended, in the doctor's words. Many
// findings with one id (thirty peers behind one firewall) become one Event, and a problem that comes and goes causes only a few.

import type { Finding } from './finding.ts';

export interface Announcement {
  /** A word, as Events have it: `TunnelPortBlocked`, `TunnelPortBlockedEnded`. */
  readonly reason: string;
  readonly message: string;
  readonly isEnd: boolean;
}

/**
 * A finding is reported when it has lasted this long, and its end when it has been gone this long: one lost packet is not worth an Event.
 */
const SETTLE_MS = 10_000;
/** The shortest time between two Events about one id, and how many Events there are in an hour at most. */
const GAP_MS = 5 * 60_000;
const HOUR_MS = 60 * 60_000;
const EVENTS_IN_AN_HOUR = 20;
/** How many peers an Event names; `flanneld doctor` names all. */
const NAMED = 5;

interface Problem {
  /** Since when the finding has existed, without a gap of SETTLE_MS. */
  since: number;
  seen: number;
  /** Since when it is reported; undefined before that. */
  told: number | undefined;
}

export class FindingEvents {
  readonly #problems = new Map<string, Problem>();
  readonly #lastTold = new Map<string, number>();
  #times: number[] = [];

  /** Call every few seconds with all present findings; returns the Events to send. `nowMs` is from a clock that never goes back. */
  look(findings: readonly Finding[], nowMs: number): Announcement[] {
    const byId = new Map<string, Finding[]>();
    for (const finding of findings) {
      if (finding.severity !== 'info') byId.set(finding.id, [...(byId.get(finding.id) ?? []), finding]);
    }
    return [...this.#appeared(byId, nowMs), ...this.#ended(byId, nowMs)];
  }

  #appeared(byId: ReadonlyMap<string, readonly Finding[]>, nowMs: number): Announcement[] {
    return [...byId].flatMap(([id, findings]) => {
      const problem = this.#problems.get(id) ?? { since: nowMs, seen: nowMs, told: undefined };
      problem.seen = nowMs;
      this.#problems.set(id, problem);
      if (problem.told !== undefined || nowMs - problem.since < SETTLE_MS || !this.#mayTell(id, nowMs)) return [];
      problem.told = nowMs;
      return [{ reason: reasonOf(id), message: messageOf(findings), isEnd: false }];
    });
  }

  /** The end of a reported problem is always reported, since people wait for it. */
  #ended(byId: ReadonlyMap<string, readonly Finding[]>, nowMs: number): Announcement[] {
    return [...this.#problems].flatMap(([id, { seen, since, told }]) => {
      if (byId.has(id) || nowMs - seen < SETTLE_MS) return [];
      this.#problems.delete(id);
      if (told === undefined) return [];
      const message = `${id} has ended, after ${durationText(seen - since)}`;
      return [{ reason: `${reasonOf(id)}Ended`, message, isEnd: true }];
    });
  }

  #mayTell(id: string, nowMs: number): boolean {
    this.#times = this.#times.filter((time) => nowMs - time < HOUR_MS);
    const last = this.#lastTold.get(id);
    if ((last !== undefined && nowMs - last < GAP_MS) || this.#times.length >= EVENTS_IN_AN_HOUR) return false;
    this.#times.push(nowMs);
    this.#lastTold.set(id, nowMs);
    return true;
  }
}

/** `tunnel-port-blocked` is TunnelPortBlocked. */
function reasonOf(id: string): string {
  return id
    .split('-')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
}

function messageOf(findings: readonly Finding[]): string {
  const [first] = findings;
  if (first === undefined) return '';
  const { id, cause, evidence, fix } = first;
  const peers = [...new Set(findings.flatMap(({ peer }) => peer ?? []))];
  const more = peers.length > NAMED ? ` and ${peers.length - NAMED} more` : '';
  const about = peers.length < 2 ? '' : ` (${peers.length} peers: ${peers.slice(0, NAMED).join(', ')}${more})`;
  return `${id}${about}: ${cause}. Seen: ${evidence}. Fix: ${fix}`;
}

function durationText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
