// How long does it take from "the runtime asks for a network" to "a packet arrives in a pod on another node"? One
// timeline for each of many pods on a lab of two nodes, with UDP and with ICMP, and a control without senders.

import { type Lab, startLab } from '../test/lab/lab.ts';
import { figure, summaryTable } from './figures.ts';
import { showRatio } from './limits.ts';
import type { BenchOptions } from './options.ts';
import { requireIcmp } from './packet/icmp-socket.ts';
import { KINDS, type Kind, measureRounds, type PodSample } from './packet/rounds.ts';
import { type Disturbance, judgeDisturbance, spanFigures, spanMs } from './packet/timeline.ts';
import type { Progress } from './progress.ts';
import type { Figure, Part, PartResult, Plot } from './result.ts';

const PODS = 40;
const QUICK_PODS = 12;

export const packetPart: Part = {
  name: 'packet',
  question: 'How long from the runtime’s call to the first packet on another node?',
  seconds: { full: 60, quick: 20 },
  measure,
};

/** Says "disturbed" when senders change ADD. Needs root. */
async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('packet needs root: it makes network namespaces');
  await requireIcmp();
  const { quick, runs: pods = quick ? QUICK_PODS : PODS } = options;
  progress.step('packet: lab of two nodes', 0, 1);
  const lab = await startLab({ nodes: 2 });
  try {
    const { samples, devices } = await measureLab(lab, pods, progress);
    return { ...describe(samples), about: { devices } };
  } finally {
    await lab.down();
  }
}

async function measureLab(
  lab: Lab,
  pods: number,
  progress: Progress,
): Promise<{ samples: PodSample[]; devices: unknown }> {
  const [node, other] = lab.nodes;
  if (node === undefined || other === undefined) throw new Error('packet needs two nodes');
  const target = await other.addPod();
  // The first pod of a node makes its bridge, which no later one pays for.
  await node.addPod();
  const devices = JSON.parse(await node.run(['ip', '-details', '-json', 'link']));
  let done = 0;
  const samples = await measureRounds({ node, target }, pods, () => {
    done += 1;
    progress.step('packet: pods', done, pods * KINDS.length);
  });
  return { samples, devices };
}

const NAMES: Readonly<Record<Kind, string>> = { control: 'no sender', udp: 'UDP', icmp: 'ICMP' };

const VERDICTS: Readonly<Record<Disturbance['verdict'], string>> = {
  same: 'the same within noise',
  disturbed: 'DISTURBED: the senders change what they measure',
  unclear: 'UNCLEAR: too noisy to tell whether the senders disturb it',
};

/** NaN when it failed. */
const addMs = ({ timeline }: PodSample): number => spanMs(timeline, 't0', 't5');

/** In the order of rounds, so that the n-th of one kind was measured beside the n-th of another. */
const ofKind = (samples: readonly PodSample[], kind: Kind): PodSample[] =>
  samples.filter((sample) => sample.kind === kind);

function describe(samples: readonly PodSample[]): PartResult {
  const spans = (kind: 'udp' | 'icmp'): Figure[] =>
    spanFigures(
      kind,
      ofKind(samples, kind).map(({ timeline }) => timeline),
    );
  const adds = KINDS.map((kind) => {
    const about = { key: `${kind}/ADD`, name: `ADD, ${NAMES[kind]}`, unit: 'ms', better: 'lower' } as const;
    return figure({ ...about, role: 'detail' }, ofKind(samples, kind).map(addMs));
  });
  const [udp, icmp] = [spans('udp'), spans('icmp')];
  return {
    figures: [...udp, ...icmp, ...adds],
    tables: [
      summaryTable('one pod after the other, UDP', udp),
      summaryTable('one pod after the other, ICMP', icmp),
      summaryTable('ADD with', adds),
    ],
    ratios: [],
    limits: [],
    failures: describeFailures(samples),
    notes: describeDisturbances(samples),
    plots: plots(),
    headline: [{ name: 'T7−T0, runtime’s call to first packet delivered on another node', figure: 'udp/T7-T0' }],
  };
}

function plots(): Plot[] {
  return [
    {
      kind: 'distribution',
      title: 'Runtime’s call to first packet delivered, and ADD alone',
      figures: ['udp/T7-T0', 'icmp/T7-T0', 'control/ADD', 'udp/ADD', 'icmp/ADD'],
    },
    {
      kind: 'stacked',
      title: 'From the runtime’s call to the first packet delivered, UDP',
      bar: 'pod',
      segments: [
        { name: 'ADD (T5−T0)', figure: 'udp/T5-T0' },
        { name: 'ADD returned to delivered (T7−T5)', figure: 'udp/T7-T5' },
      ],
    },
  ];
}

function describeDisturbances(samples: readonly PodSample[]): string[] {
  const without = ofKind(samples, 'control').map(addMs);
  return (['udp', 'icmp'] as const).map((kind) => {
    const { ratio, verdict } = judgeDisturbance(ofKind(samples, kind).map(addMs), without);
    return `ADD with ${NAMES[kind]} sender by ADD without: ${showRatio(ratio)}, ${VERDICTS[verdict]}`;
  });
}

function describeFailures(samples: readonly PodSample[]): string[] {
  return samples.flatMap(({ kind, round, failure }) =>
    failure === undefined ? [] : [`${NAMES[kind]}, pod ${round + 1}: ${failure}`],
  );
}
