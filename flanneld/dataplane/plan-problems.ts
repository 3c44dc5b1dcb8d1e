// Keeps the leases that cannot be peers, and doubtful peers, for the status report. Each is logged once.

import type { Logger } from '../health/log.ts';
import type { PeerProblem } from '../health/peer-problem.ts';

export class PlanProblems {
  readonly #log: Logger;
  #problems: ReadonlyMap<string, string> = new Map();
  #doubts: readonly PeerProblem[] = [];

  constructor(log: Logger) {
    this.#log = log;
  }

  get count(): number {
    return this.#problems.size;
  }

  problems(): PeerProblem[] {
    return [...this.#problems].map(([key, reason]) => ({ key, reason }));
  }

  doubts(): readonly PeerProblem[] {
    return this.#doubts;
  }

  set({ problems, doubts }: { readonly problems: readonly PeerProblem[]; readonly doubts: readonly PeerProblem[] }) {
    const now = new Map(problems.map(({ key, reason }) => [key, reason]));
    for (const [peer, err] of now) {
      if (this.#problems.get(peer) !== err) this.#log.warn({ peer, err }, 'lease cannot be used');
    }
    for (const peer of this.#problems.keys()) if (!now.has(peer)) this.#log.info({ peer }, 'lease can be used again');
    this.#problems = now;
    this.#setDoubts(doubts);
  }

  /** `doubts` is the same list as long as nothing has changed. */
  #setDoubts(doubts: readonly PeerProblem[]): void {
    if (doubts === this.#doubts) return;
    const known = new Set(this.#doubts.map(({ key, reason }) => `${key} ${reason}`));
    for (const { key, reason } of doubts) {
      if (!known.has(`${key} ${reason}`)) this.#log.warn({ peer: key, err: reason }, 'peer is doubtful');
    }
    this.#doubts = doubts;
  }
}
