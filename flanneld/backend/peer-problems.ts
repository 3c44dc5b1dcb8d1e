// Leases that cannot be peers: kept for whoever asks, and said once each in the log.

import type { Logger } from '../health/log.ts';
import type { PeerProblem } from '../health/peer-problem.ts';

export class PeerProblems {
  readonly #log: Logger;
  #known: ReadonlyMap<string, string> = new Map();

  constructor(log: Logger) {
    this.#log = log;
  }

  set(problems: readonly PeerProblem[]): void {
    const now = new Map(problems.map(({ key, reason }) => [key, reason]));
    for (const [peer, err] of now) if (this.#known.get(peer) !== err) this.#log.warn({ peer, err }, 'lease left out');
    for (const peer of this.#known.keys()) if (!now.has(peer)) this.#log.info({ peer }, 'lease no longer at fault');
    this.#known = now;
  }

  list(): PeerProblem[] {
    return [...this.#known].map(([key, reason]) => ({ key, reason }));
  }
}
