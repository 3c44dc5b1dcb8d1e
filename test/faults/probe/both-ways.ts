// The packets that a change costs in both directions, for tests that print them.

import { startFlow } from './flow.ts';
import type { FlowEnd, FlowResult } from './spec.ts';

const STEADY_IN_ROW = 100;

export interface BothWays {
  readonly out: FlowResult;
  readonly back: FlowResult;
}

/**
 * Runs `body` under a flow from `one` to `two` and one back, and until packets arrive steadily again, for `steadyMs` at most. Prints what
 * was lost.
 */
export async function countBothWays(
  what: string,
  [one, two]: readonly [FlowEnd, FlowEnd],
  body: () => Promise<void>,
  steadyMs = 20_000,
): Promise<BothWays> {
  const flows = [await startFlow(one, two), await startFlow(two, one)] as const;
  try {
    await body();
    for (const flow of flows) await flow.untilInRow(STEADY_IN_ROW, steadyMs);
    const [out, back] = await Promise.all([flows[0].stop(), flows[1].stop()]);
    process.stdout.write(`${what}: lost from the node ${spell(out)}, to the node ${spell(back)}\n`);
    return { out, back };
  } finally {
    for (const flow of flows) await flow.abandon();
  }
}

function spell({ lostAtMost, longestLossMs }: FlowResult): string {
  return `${lostAtMost} (longest ${longestLossMs} ms)`;
}
