// Counts of the probes while the agent runs, as plain numbers (meters.ts says why).

import { RunMeter } from './meters.ts';
import type { ProbedState } from './status/probes-status.ts';

/** Upper bounds of the histogram of round trips, in seconds: from a rack to the other side of the earth. */
export const RTT_BUCKETS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
];

export class ProbeMeter {
  /** Examinations since the start, by the state that they found. */
  readonly results: Record<ProbedState, number> = { reachable: 0, degraded: 0, unreachable: 0, unknown: 0 };
  /** Round trips through the tunnel. */
  readonly rtt = new RunMeter(RTT_BUCKETS);

  count(state: ProbedState): void {
    this.results[state]++;
  }
}
