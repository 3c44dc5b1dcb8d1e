// What does the tunnel cost? Measures TCP with one and four streams, UDP with its loss, and a ping-pong on three paths: between pods on two
// nodes through VXLAN, between the same pods without a tunnel, and between the nodes. Everything runs on one machine, so these figures show
// what the processors do and say nothing about a network card.

import { execFileSync } from 'node:child_process';
import { startLab } from '../test/lab/lab.ts';
import { rotated } from './cni/plan.ts';
import { figure, ratioOfFigures, summaryTable } from './figures.ts';
import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';
import type { Figure, Part, PartResult } from './result.ts';
import { type Load, requireIperf, runIperf, startIperfServer } from './throughput/iperf.ts';
import { checkPath, makePaths, type Path } from './throughput/paths.ts';
import { runPingPong, startPingPongServer } from './throughput/ping-pong-end.ts';

const ROUNDS = 12;
const QUICK_ROUNDS = 1;
const PING_PONG_MS = 500;
/** A payload that fits the pods' MTU of 1450. */
const UDP_BYTES = 1370;

type Values = Partial<
  Record<'tcp1' | 'tcp4' | 'tcp4-resent' | 'udp' | 'udp-loss' | 'ping-pong' | 'round-trip' | 'round-trip-p99', number>
>;
type Measure = keyof Values;

interface Shown {
  readonly name: string;
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  /** Whether it gets ratios against the other paths. Otherwise it is only shown. */
  readonly judged: boolean;
}

const SHOWN: Readonly<Record<Measure, Shown>> = {
  tcp1: { name: 'TCP, 1 stream', unit: 'Gbit/s', better: 'higher', judged: true },
  tcp4: { name: 'TCP, 4 streams', unit: 'Gbit/s', better: 'higher', judged: true },
  'tcp4-resent': { name: 'TCP, 4 streams, sent again', unit: 'packets', better: 'lower', judged: false },
  udp: { name: 'UDP as fast as it goes, received', unit: 'Gbit/s', better: 'higher', judged: true },
  'udp-loss': { name: 'UDP as fast as it goes, lost', unit: '%', better: 'lower', judged: false },
  'ping-pong': { name: 'UDP ping-pong', unit: 'exchanges/s', better: 'higher', judged: true },
  'round-trip': { name: 'UDP ping-pong, one round trip', unit: 'µs', better: 'lower', judged: false },
  'round-trip-p99': { name: 'UDP ping-pong, one round trip, p99', unit: 'µs', better: 'lower', judged: false },
};

export const throughputPart: Part = {
  name: 'throughput',
  question: 'What does the tunnel cost?',
  seconds: { full: 170, quick: 14 },
  measure,
};

async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('throughput needs root: it makes network namespaces');
  const iperf = requireIperf();
  const { quick, runs: rounds = quick ? QUICK_ROUNDS : ROUNDS } = options;
  progress.step('throughput: lab of two nodes', 0, 1);
  const lab = await startLab({ nodes: 2 });
  try {
    const [a, b] = lab.nodes;
    if (a === undefined || b === undefined) throw new Error('throughput needs two nodes');
    const pods = [await a.addPod(), await b.addPod()] as const;
    const paths = await makePaths([a, b], pods);
    for (const path of paths) await checkPath(a, pods[0], path);
    const devices = JSON.parse(await a.run(['ip', '-details', '-json', 'link']));
    const congestion = (await a.run(['sysctl', '-n', 'net.ipv4.tcp_congestion_control'])).trim();
    const { samples, failures } = await measureRounds(paths, rounds, progress);
    return { ...describe(paths, samples), failures, about: { iperf3: versionOf(iperf), congestion, devices } };
  } finally {
    await lab.down();
  }
}

/** The results for each path, one `Values` for each round. */
type Samples = ReadonlyMap<Path, readonly Values[]>;

async function measureRounds(
  paths: readonly Path[],
  rounds: number,
  progress: Progress,
): Promise<{ samples: Samples; failures: string[] }> {
  const samples = new Map(paths.map((path): [Path, Values[]] => [path, Array.from({ length: rounds }, () => ({}))]));
  const failures: string[] = [];
  const steps = stepsOf(paths, rounds);
  const stop = await startServers(paths);
  try {
    for (const [done, { path, round, measureOne }] of steps.entries()) {
      progress.step('throughput', done, steps.length);
      const { client, server, name } = path;
      try {
        const values = await measureOne({ netns: client.netns, from: client.ip, to: server.ip });
        Object.assign(samples.get(path)?.[round] ?? {}, values);
      } catch (error) {
        failures.push(`${name}, round ${round + 1}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  } finally {
    stop();
  }
  return { samples, failures };
}

interface Step {
  readonly path: Path;
  readonly round: number;
  readonly measureOne: (ends: Ends) => Promise<Values>;
}

/** The steps of all rounds: every measurement on every path. Each round begins with another path. */
function stepsOf(paths: readonly Path[], rounds: number): Step[] {
  return Array.from({ length: rounds }, (_, round) =>
    MEASURES.flatMap((measureOne) => rotated(paths, round).map((path) => ({ path, round, measureOne }))),
  ).flat();
}

/** Starts the servers and returns a function that stops them. */
async function startServers(paths: readonly Path[]): Promise<() => void> {
  const servers: { stop(): void }[] = [];
  const stop = (): void => {
    for (const server of servers) server.stop();
  };
  try {
    for (const { server } of paths) {
      servers.push(await startIperfServer(server.netns, server.ip));
      servers.push(await startPingPongServer(server.netns, server.ip));
    }
    return stop;
  } catch (error) {
    stop();
    throw error;
  }
}

type Ends = Parameters<typeof runIperf>[0];

const load = (protocol: Load['protocol'], streams: number): Load => ({
  protocol,
  streams,
  seconds: 1,
  udpBytes: UDP_BYTES,
});

/** The measurements. Each measures one path once. */
const MEASURES: readonly ((ends: Ends) => Promise<Values>)[] = [
  async (ends) => ({ tcp1: (await runIperf(ends, load('tcp', 1))).gbitPerSecond }),
  async (ends) => {
    const { gbitPerSecond, retransmits = Number.NaN } = await runIperf(ends, load('tcp', 4));
    return { tcp4: gbitPerSecond, 'tcp4-resent': retransmits };
  },
  async (ends) => {
    const { gbitPerSecond, lostPercent = Number.NaN } = await runIperf(ends, load('udp', 1));
    return { udp: gbitPerSecond, 'udp-loss': lostPercent };
  },
  async (ends) => {
    const { rounds, milliseconds, p50Us, p99Us } = await runPingPong(ends, PING_PONG_MS);
    return { 'ping-pong': (rounds * 1000) / milliseconds, 'round-trip': p50Us, 'round-trip-p99': p99Us };
  },
];

function describe(paths: readonly Path[], samples: Samples): Omit<PartResult, 'failures' | 'about'> {
  const measures = Object.entries(SHOWN) as [Measure, Shown][];
  const figures = measures.flatMap(([measured, { name, unit, better, judged }]) =>
    paths.map((path): Figure => {
      const role = judged ? (path.key === 'overlay' ? 'weft' : 'reference') : 'detail';
      const about = { key: `${measured}/${path.key}`, name: `${name}, ${path.name}`, unit, better, role } as const;
      return figure(
        about,
        (samples.get(path) ?? []).map((values) => values[measured] ?? Number.NaN),
      );
    }),
  );
  const judged = measures.filter(([, shown]) => shown.judged);
  return {
    figures,
    tables: [...new Set(measures.map(([, { unit }]) => unit))].map((unit) =>
      summaryTable(
        'interleaved, 1 s each',
        figures.filter((each) => each.unit === unit),
      ),
    ),
    ratios: judged.flatMap(([measured, { name }]) =>
      paths
        .filter(({ key }) => key !== 'overlay')
        .map(({ key, name: other }) => {
          const keys = { of: `${measured}/overlay`, against: `${measured}/${key}` };
          return ratioOfFigures(`${name}: VXLAN against ${other}`, figures, keys);
        }),
    ),
    limits: [],
    notes: ['throughput on one machine is what its processors do: no network card takes part'],
    plots: judged.map(([measured, { name }]) => ({
      kind: 'distribution',
      title: name,
      figures: paths.map(({ key }) => `${measured}/${key}`),
    })),
    headline: [
      { name: 'TCP, 1 stream, pod to pod', figure: 'tcp1/overlay' },
      { name: 'UDP ping-pong, pod to pod', figure: 'ping-pong/overlay' },
    ],
  };
}

function versionOf(iperf: string): string {
  return execFileSync(iperf, ['--version'], { encoding: 'utf8' }).split('\n')[0] ?? '';
}
