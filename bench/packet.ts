// How long does it take from "the runtime asks for a network" to "a packet arrives in a pod on another node"? One
// timeline for each of many pods on a lab of two nodes, with UDP and with ICMP, and a control without senders.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Lab, startLab } from '../test/lab/lab.ts';
import { describeMachine, discloseMachine } from './disclosure.ts';
import { showRatio } from './limits.ts';
import type { BenchOptions } from './options.ts';
import { requireIcmp } from './packet/icmp-socket.ts';
import { KINDS, type Kind, measureRounds, type PodSample } from './packet/rounds.ts';
import { type Disturbance, judgeDisturbance, spanMs, spanTable } from './packet/timeline.ts';
import { summarize } from './stats.ts';
import { table } from './table.ts';

const PODS = 40;
const QUICK_PODS = 12;

/** Prints tables; false when a packet of some pod was not answered. Says "disturbed" when senders change ADD. Needs root. */
export async function benchPacket(options: BenchOptions): Promise<boolean> {
  if (process.getuid?.() !== 0) throw new Error('packet needs root: it makes network namespaces');
  await requireIcmp();
  const { quick, runs: pods = quick ? QUICK_PODS : PODS } = options;
  const machine = discloseMachine('/var/tmp');
  say(describeMachine(machine));
  const lab = await startLab({ nodes: 2 });
  try {
    const { samples, devices } = await measureLab(lab, pods);
    const disturbances = judgeAll(samples);
    report(samples, disturbances);
    const failures = describeFailures(samples);
    if (failures.length > 0) say(`FAILED\n${failures.join('\n')}`);
    writeJson(options, { machine, devices, disturbances, failures, raw: samples });
    return failures.length === 0;
  } finally {
    await lab.down();
  }
}

async function measureLab(lab: Lab, pods: number): Promise<{ samples: PodSample[]; devices: unknown }> {
  const [node, other] = lab.nodes;
  if (node === undefined || other === undefined) throw new Error('packet needs two nodes');
  const target = await other.addPod();
  // The first pod of a node makes its bridge, which no later one pays for.
  await node.addPod();
  const devices = JSON.parse(await node.run(['ip', '-details', '-json', 'link']));
  let done = 0;
  const samples = await measureRounds({ node, target }, pods, () => {
    done += 1;
    show(`${done} of ${pods * KINDS.length} pods`);
  });
  show('');
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

function judgeAll(samples: readonly PodSample[]): Record<'udp' | 'icmp', Disturbance> {
  const without = ofKind(samples, 'control').map(addMs);
  return {
    udp: judgeDisturbance(ofKind(samples, 'udp').map(addMs), without),
    icmp: judgeDisturbance(ofKind(samples, 'icmp').map(addMs), without),
  };
}

function report(samples: readonly PodSample[], disturbances: Record<'udp' | 'icmp', Disturbance>): void {
  for (const kind of ['udp', 'icmp'] as const) {
    const timelines = ofKind(samples, kind).map(({ timeline }) => timeline);
    say(spanTable(`ms, ${NAMES[kind]}`, timelines));
  }
  const rows = KINDS.map((kind) => {
    const returned = ofKind(samples, kind)
      .map(addMs)
      .filter((ms) => !Number.isNaN(ms));
    const { p50, p90, p99, max, count } = summarize(returned);
    return [NAMES[kind], ...[p50, p90, p99, max].map((ms) => ms.toFixed(2)), `${count}`];
  });
  say(table(['ms, ADD with', 'p50', 'p90', 'p99', 'max', 'count'], rows));
  for (const kind of ['udp', 'icmp'] as const) {
    const { ratio, verdict } = disturbances[kind];
    say(`ADD with ${NAMES[kind]} sender by ADD without: ${showRatio(ratio)}, ${VERDICTS[verdict]}`);
  }
}

function describeFailures(samples: readonly PodSample[]): string[] {
  return samples.flatMap(({ kind, round, failure }) =>
    failure === undefined ? [] : [`${NAMES[kind]}, pod ${round + 1}: ${failure}`],
  );
}

function writeJson({ json }: BenchOptions, result: object): void {
  if (json === undefined) return;
  mkdirSync(dirname(json), { recursive: true });
  writeFileSync(json, `${JSON.stringify({ question: 'packet', ...result }, null, 1)}\n`);
  say(`raw samples: ${json}`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n\n`);
}

/** One line that says what is being done: redrawn on a terminal, left out elsewhere. */
function show(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}\r`);
}
