// What does a cluster of thousands of Nodes cost the agent that reads them? A real kube-apiserver holds real Node objects, and one in a
// hundred of them changes each minute. Where flannel's agent is found, it gets the same objects. Each agent has a lab node of its own,
// which is booted again for every run, and the agents run one after the other. A third lab node stands in for all other Nodes, so that the
// agent's probes are answered.

import { openKoffiSyscalls } from '../lib/sys/koffi.ts';
import { findFlanneld, versionOf } from '../test/cluster/interop/programs.ts';
import { type Lab, startLab } from '../test/lab/lab.ts';
import type { LabNode } from '../test/lab/lab-node.ts';
import { builtAgent, requireBuilt } from '../test/lab/programs.ts';
import { LAUNCHER } from '../test/lab/support/launcher-script.ts';
import { missingApiserver } from '../test/support/kube-apiserver.ts';
import { type Contender, runAgent } from './nodes/agents.ts';
import { NodesCluster } from './nodes/api-server.ts';
import { nodeObject } from './nodes/node-object.ts';
import { describeRuns, FEW, MANY, NAMES, type Runs } from './nodes/nodes-figures.ts';
import type { BenchOptions } from './options.ts';
import { netConf } from './peers/overlay.ts';
import { prepareCrowd, startCrowd } from './probes/probed-lab.ts';
import type { Progress } from './progress.ts';
import type { Part, PartResult } from './result.ts';

/** The Nodes with the numbers 1 and 2 have an agent. */
const AGENTS = 2;
const QUICK_ROUNDS = 1;
const QUICK_CHANGE_MS = 15_000;

/** What is measured: numbers of Nodes, how often, and for how long Nodes then change. */
interface Extent {
  readonly counts: readonly number[];
  readonly rounds: number;
  readonly changeMs: number;
  /** Whether our agent is also measured without probes. */
  readonly hasSilent?: boolean;
}

export const nodesPart: Part = {
  name: 'nodes',
  question: 'What does a cluster of thousands of Nodes cost the agent that reads them?',
  seconds: { full: 1100 },
  measure: (options, progress) => measure(options, progress, { counts: [FEW, MANY], rounds: 3, changeMs: 60_000 }),
};

/** Only the start, more often: its processor time differs from one start to the next. */
export const nodesStartPart: Part = {
  name: 'nodes-start',
  question: 'What does a start among a thousand Nodes cost the agent?',
  seconds: { full: 220 },
  measure: (options, progress) => measure(options, progress, { counts: [FEW], rounds: 5, changeMs: 1000 }),
};

/** Only what the changes among 5000 Nodes cost: our agent with and without probes. */
export const nodesChangesPart: Part = {
  name: 'nodes-changes',
  question: 'What do changes among five thousand Nodes cost the agent?',
  seconds: { full: 950 },
  measure: (options, progress) =>
    measure(options, progress, { counts: [MANY], rounds: 3, changeMs: 60_000, hasSilent: true }),
};

async function measure(options: BenchOptions, progress: Progress, extent: Extent): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('nodes needs root: it makes network namespaces');
  const missing = missingApiserver();
  if (missing !== undefined) return describeRuns(new Map(), [`nothing was measured: nodes needs ${missing}`]);
  const flanneld = findFlanneld();
  progress.step('nodes: kube-apiserver and a lab of two nodes', 0, 1);
  const lab = await startLab({
    nodes: 3,
    netConf: JSON.parse(netConf),
    agent: { start: false, file: LAUNCHER },
  });
  let cluster: NodesCluster | undefined;
  try {
    const { contenders, crowd } = rolesIn(lab, flanneld, extent.hasSilent === true);
    cluster = await NodesCluster.start(AGENTS + 1);
    await prepareCrowd(crowd);
    const { runs, notes } = await measureCounts(cluster, contenders, crowd, extentOf(options, extent), progress);
    const missed =
      flanneld === undefined ? ['flannel was not measured: no flanneld in KUBEBUILDER_ASSETS or PATH'] : [];
    return {
      ...describeRuns(runs, [...missed, ...notes]),
      about: {
        'a Node as it is created, bytes': JSON.stringify(nodeObject(1)).length,
        ...(flanneld !== undefined && { flanneld: versionOf(flanneld) }),
      },
    };
  } finally {
    await cluster?.server.stop();
    await lab.down();
  }
}

function extentOf({ quick, runs }: BenchOptions, { counts, rounds, changeMs }: Extent): Extent {
  return {
    counts,
    rounds: runs ?? (quick ? QUICK_ROUNDS : rounds),
    changeMs: quick ? Math.min(changeMs, QUICK_CHANGE_MS) : changeMs,
  };
}

function rolesIn(
  { nodes: [one, two, crowd] }: Lab,
  flanneld: string | undefined,
  hasSilent: boolean,
): { contenders: Contender[]; crowd: LabNode } {
  if (one === undefined || two === undefined || crowd === undefined) throw new Error('nodes needs three lab nodes');
  const weft: Contender = {
    key: 'weft',
    name: NAMES.weft,
    file: requireBuilt(builtAgent),
    flags: [],
    node: one,
    number: 1,
  };
  const silent: Contender = { ...weft, key: 'silent', name: NAMES.silent, flags: ['--probes=off'] };
  const flannel = (file: string): Contender => ({
    ...weft,
    key: 'flannel',
    name: NAMES.flannel,
    file,
    node: two,
    number: 2,
  });
  const others = flanneld === undefined ? [] : [flannel(flanneld)];
  return { contenders: [weft, ...(hasSilent ? [silent] : []), ...others], crowd };
}

async function measureCounts(
  cluster: NodesCluster,
  contenders: readonly Contender[],
  crowd: LabNode,
  { counts, rounds, changeMs }: Extent,
  progress: Progress,
): Promise<{ runs: Map<number, Runs>; notes: string[] }> {
  const sys = openKoffiSyscalls();
  const notes: string[] = [];
  const runs = new Map<number, Runs>();
  for (const count of counts) {
    await cluster.grow(count, () => progress.step('nodes: Node objects', cluster.count, count));
    const answering = await startCrowd(crowd, AGENTS + 1, count);
    const samples: Runs = { weft: [], silent: [], flannel: [] };
    runs.set(count, samples);
    for (let round = 0; round < rounds; round++) {
      for (const [at, contender] of contenders.entries()) {
        progress.step(`nodes: agents among ${count} Nodes`, round * contenders.length + at, rounds * contenders.length);
        const run = await runAgent(contender, { cluster, crowd, sys }, changeMs).catch((error: unknown) => {
          notes.push(`round ${round + 1}: ${error instanceof Error ? error.message : String(error)}`);
          return undefined;
        });
        samples[contender.key].push(run);
      }
    }
    answering.stop();
  }
  return { runs, notes };
}
