// What this node remembers of one peer in one family.

import type { ProbedState } from '../health/status/probes-status.ts';
import type { Problem, Verdict } from './classify.ts';
import { RoundTrip } from './round-trip.ts';
import type { Target } from './target.ts';

/** How many examinations the loss is computed from. */
const HISTORY = 16;

export class PeerRecord {
  target: Target;
  state: ProbedState = 'unknown';
  /** When it was last examined; undefined before the first time. */
  checkedAtMs: number | undefined;
  /** When it was last examined with all questions. */
  diagnosedAtMs: number | undefined;
  /** Since when it has failed; undefined when it does not. */
  failingSinceMs: number | undefined;
  rttMs: number | undefined;
  #problem: Problem | undefined;
  #lastAgentMs: number | undefined;
  #isAgentAway = false;
  readonly #roundTrip = new RoundTrip();
  /** One bit for each of the last examinations: 1 when its first packet was lost. */
  #lost = 0;
  #examined = 0;

  constructor(target: Target) {
    this.target = target;
  }

  /** How long its agent has been silent although it answered before; undefined when it answers, or never did. */
  agentSilentMs(nowMs: number): number | undefined {
    return this.#lastAgentMs === undefined || !this.#isAgentAway ? undefined : nowMs - this.#lastAgentMs;
  }

  /** Takes in a verdict. `startedAtMs`: when the examination began; `lostFirst`: its first packet was not answered. */
  take(verdict: Verdict, startedAtMs: number, nowMs: number, lostFirst: boolean): void {
    this.#note(lostFirst);
    this.checkedAtMs = nowMs;
    this.diagnosedAtMs = nowMs;
    this.#isAgentAway = !verdict.isAgent;
    if (verdict.isAgent) this.#lastAgentMs = nowMs;
    if (verdict.rttMs !== undefined) this.#roundTrip.observe(verdict.rttMs);
    this.rttMs = verdict.rttMs;
    this.#problem = verdict.problem ?? this.#slow();
    this.state = verdict.problem === undefined && this.#problem !== undefined ? 'degraded' : verdict.state;
    const fails = this.state === 'unreachable' || this.state === 'degraded';
    this.failingSinceMs = fails ? (this.failingSinceMs ?? startedAtMs) : undefined;
  }

  /** Notes that the peer still fails, for the reason that was found earlier. */
  stillFails(nowMs: number): void {
    this.#note(true);
    this.checkedAtMs = nowMs;
  }

  #note(isLost: boolean): void {
    this.#lost = ((this.#lost << 1) | (isLost ? 1 : 0)) & ((1 << HISTORY) - 1);
    this.#examined = Math.min(HISTORY, this.#examined + 1);
  }

  get problem(): Problem | undefined {
    return this.#problem;
  }

  /** The share, from 0 to 1, of recent examinations whose first packet was lost. */
  get loss(): number {
    let lost = 0;
    for (let bits = this.#lost; bits !== 0; bits >>>= 1) lost += bits & 1;
    return this.#examined === 0 ? 0 : lost / this.#examined;
  }

  #slow(): Problem | undefined {
    const { slowMs, usualMs } = this.#roundTrip;
    if (slowMs === undefined || usualMs === undefined) return undefined;
    return {
      id: 'peer-slow',
      severity: 'warning',
      cause: `the round trip to ${this.target.peer} has become slow`,
      evidence: `${milliseconds(slowMs)} through the tunnel, usually ${milliseconds(usualMs)}`,
      fix: `look for load on the network and on ${this.target.peer} with mtr between the nodes, tc -s qdisc and top`,
    };
  }
}

function milliseconds(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
