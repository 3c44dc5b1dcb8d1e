// What do probes cost an agent in a large cluster? Two real agents hold the same thousands of leases, one with probes and one with
// `--probes=off`, and are measured in the same windows of time. The difference is what probes cost. A third node of the lab answers for all
// peers, and sends as many questions as it receives.

import { startLab } from '../test/lab/lab.ts';
import { LAUNCHER } from '../test/lab/support/launcher-script.ts';
import type { BenchOptions } from './options.ts';
import { prepareCrowd, probesNetConf, publishPeers, startCrowd } from './probes/probed-lab.ts';
import { describeProbes } from './probes/probes-figures.ts';
import { type Lane, measureHalf, type Outcome, type Plan, type Window } from './probes/side-by-side.ts';
import type { Progress } from './progress.ts';
import type { Part, PartResult } from './result.ts';

const NODES = 5000;
const HALVES = 2;
/** A half lasts two minutes, so that the check that an agent makes once a minute occurs equally often in both halves. */
const PLAN: Plan = { windows: 12, windowMs: 10_000, settleMs: 20_000 };
const QUICK_PLAN: Plan = { windows: 3, windowMs: 5000, settleMs: 10_000 };

export const probesPart: Part = {
  name: 'probes',
  question: 'What do the probes of other nodes cost the agent in a large cluster?',
  seconds: { full: 300 },
  measure,
};

async function measure({ quick, runs }: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('probes needs root: it makes network namespaces');
  const plan = { ...(quick ? QUICK_PLAN : PLAN), ...(runs !== undefined && { windows: runs }) };
  progress.step('probes: lab of three nodes', 0, 1);
  const lab = await startLab({ nodes: 3, netConf: probesNetConf, agent: { start: false, file: LAUNCHER } });
  try {
    const [one, two, crowd] = lab.nodes;
    if (one === undefined || two === undefined || crowd === undefined) throw new Error('probes needs three lab nodes');
    const peers = NODES - 2;
    publishPeers(lab, peers);
    await prepareCrowd(crowd);
    const answering = await startCrowd(crowd, 1, peers);
    const samples: { on: Window[]; off: Window[] } = { on: [], off: [] };
    const outcomes: Outcome[] = [];
    let done = 0;
    for (let half = 0; half < HALVES; half++) {
      const [on, off] = half % 2 === 0 ? [one, two] : [two, one];
      const lanes: Lane[] = [
        { node: on, mode: 'on' },
        { node: off, mode: 'off' },
      ];
      progress.step('probes: start of the agents', done, HALVES * plan.windows);
      const measured = await measureHalf(lab, crowd, lanes, plan, () => {
        progress.step('probes', done++, HALVES * plan.windows);
      });
      samples.on.push(...measured.samples.on);
      samples.off.push(...measured.samples.off);
      outcomes.push(measured.outcome);
    }
    answering.stop();
    return describeProbes(NODES, samples, outcomes);
  } finally {
    await lab.down();
  }
}
