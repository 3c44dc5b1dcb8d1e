// Do the backends wireguard and ipip carry as much as flannel's own? Two labs of two nodes run at the same time, one with our agents and
// one with flannel's, and their pods are measured in turns. `npm run suite -- kernels --bench` runs this on Debian's stock kernels, in a
// machine whose clock counts instructions: only ratios mean something there.

import { join } from 'node:path';
import { findFlanneld } from '../test/cluster/interop/programs.ts';
import { builtAgent } from '../test/lab/programs.ts';
import { allPodsReach } from '../test/lab/support/status.ts';
import { type EtcdLab, startEtcdLab } from '../test/support/etcd-lab.ts';
import { rotated } from './cni/plan.ts';
import { type LoadMode, PathLoad } from './fast-path/load.ts';
import { figure, ratioOfFigures, summaryTable } from './figures.ts';
import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';
import type { Figure, Part, PartResult } from './result.ts';
import { makeScratch } from './scratch.ts';
import { compile } from './start.ts';

const ROUNDS = 9;
const QUICK_ROUNDS = 3;
const PORT = 7300;
/** Each failure may take minutes on an emulated processor, so a broken path must not be measured again and again. */
const MOST_FAILURES = 6;
/** The least that ours must carry, as a share of flannel's. */
const LEAST = 0.98;

export const backendsPart: Part = {
  name: 'backends',
  question: 'Do the backends wireguard and ipip carry as much as flannel’s own?',
  seconds: { full: 300 },
  measure,
};

const TYPES = ['wireguard', 'ipip'] as const;
type Type = (typeof TYPES)[number];

const SUBJECTS = [
  { key: 'weft', name: 'Weft' },
  { key: 'flannel', name: 'flannel' },
] as const;
type SubjectKey = (typeof SUBJECTS)[number]['key'];

interface Measure {
  readonly mode: LoadMode;
  readonly name: string;
  readonly unit: string;
  readonly seconds: number;
  /** The seconds are divided into so many runs, of which the best counts: the scheduler falls into one of several rhythms with each. */
  readonly runs: number;
}

const EXCHANGES = { unit: 'exchanges/s', seconds: 2, runs: 8 } as const;
/** Streams of a second each. */
const STREAMS = 3;

const MEASURES: readonly Measure[] = [
  { mode: 'udp', name: 'UDP round trips', ...EXCHANGES },
  { mode: 'tcp', name: 'TCP round trips', ...EXCHANGES },
  { mode: 'stream', name: 'TCP, one stream', unit: 'Gbit/s', seconds: STREAMS, runs: STREAMS },
];

async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('backends needs root: it makes network namespaces');
  const flanneld = findFlanneld();
  if (flanneld === undefined) throw new Error('backends needs flannel’s flanneld, in KUBEBUILDER_ASSETS or on PATH');
  const { quick, runs: rounds = quick ? QUICK_ROUNDS : ROUNDS } = options;
  const program = compile(join(options.repository, 'bench/fast-path/path-load.c'), join(makeScratch(), 'path-load'));
  const load = new PathLoad(program);
  const samples: Samples = new Map();
  const failures: string[] = [];
  for (const type of TYPES) {
    progress.step(`backends: labs with ${type}`, 0, 1);
    const problems = await measureType({ type, flanneld, load, rounds, samples }, progress).catch(problemOf);
    failures.push(...problems.map((problem) => `${type}: ${problem}`));
  }
  return { ...describe(samples), failures };
}

/** One sample a round for each figure; NaN where it failed. */
type Samples = Map<string, number[]>;

interface Task {
  readonly type: Type;
  readonly flanneld: string;
  readonly load: PathLoad;
  readonly rounds: number;
  readonly samples: Samples;
}

function problemOf(error: unknown): string[] {
  return [error instanceof Error ? error.message : String(error)];
}

/** The two ends of a measurement: the client's namespace and the server's address. */
interface Place {
  readonly netns: string;
  readonly to: string;
}

/** Resolves with the errors of single measurements. */
async function measureType(task: Task, progress: Progress): Promise<string[]> {
  const endings: (() => unknown)[] = [];
  try {
    const places = new Map<SubjectKey, Place>();
    for (const { key } of SUBJECTS) {
      places.set(key, await startPlace(task, key === 'weft' ? builtAgent : task.flanneld, endings));
    }
    const problems: string[] = [];
    for (let round = 0; round < task.rounds; round++) {
      progress.step(`backends: ${task.type}, round ${round + 1} of ${task.rounds}`, 0, 1);
      problems.push(...(await measureRound(task, places, round)));
      if (problems.length > MOST_FAILURES) return [...problems, `given up in round ${round + 1} of ${task.rounds}`];
    }
    return problems;
  } finally {
    for (const end of endings.reverse()) await end();
  }
}

/** Adds to `endings` a function that ends it again. */
async function startPlace({ type, load }: Task, program: string, endings: (() => unknown)[]): Promise<Place> {
  const site = await startSite(type, program);
  endings.push(site.down);
  const [client, server] = site.lab.pods;
  if (client === undefined || server === undefined) throw new Error('a pod is missing');
  endings.push((await load.serve(server.netnsFromOutside, PORT, undefined)).stop);
  return { netns: client.netnsFromOutside, to: server.ip };
}

/** Measures everything once, in an order that begins with another subject each time. */
async function measureRound(
  { type, load, samples }: Task,
  places: ReadonlyMap<SubjectKey, Place>,
  round: number,
): Promise<string[]> {
  const problems: string[] = [];
  for (const { mode, seconds, runs: times } of MEASURES) {
    for (const [key, place] of rotated([...places], round)) {
      const spec = { ...place, mode, port: PORT, cpu: undefined, seconds, times };
      const value = await load.run(spec).then(
        ({ rate }) => rate,
        (error: unknown) => {
          problems.push(`${mode}, ${key}, round ${round + 1}: ${problemOf(error)}`);
          return Number.NaN;
        },
      );
      const name = `${type}/${mode}/${key}`;
      samples.set(name, [...(samples.get(name) ?? []), value]);
    }
  }
  return problems;
}

/** Two nodes with a pod each that can reach each other. */
async function startSite(type: Type, program: string): Promise<EtcdLab> {
  const site = await startEtcdLab({ Network: '10.244.0.0/16', EnableNFTables: true, Backend: { Type: type } });
  try {
    for (const node of site.lab.nodes) await site.run(node, program);
    for (const node of site.lab.nodes) await node.addPod();
    await allPodsReach(site.lab);
    return site;
  } catch (error) {
    await site.down();
    throw error;
  }
}

function describe(samples: Samples): Omit<PartResult, 'failures'> {
  const measured = TYPES.flatMap((type) => MEASURES.map((each) => ({ ...each, type }))).filter(({ type, mode }) =>
    samples.has(`${type}/${mode}/weft`),
  );
  const figures = measured.flatMap(({ type, mode, name, unit }) =>
    SUBJECTS.map((subject): Figure => {
      const key = `${type}/${mode}/${subject.key}`;
      const role = subject.key === 'weft' ? 'weft' : 'reference';
      const about = { key, name: `${type}, ${name}, ${subject.name}`, unit, better: 'higher', role } as const;
      return figure(about, samples.get(key) ?? []);
    }),
  );
  return {
    figures,
    tables: [...new Set(measured.map(({ unit }) => unit))].map((unit) =>
      summaryTable(
        'interleaved',
        figures.filter((each) => each.unit === unit),
      ),
    ),
    ratios: measured.map(({ type, mode, name }) => {
      const keys = { of: `${type}/${mode}/weft`, against: `${type}/${mode}/flannel` };
      return ratioOfFigures(`${type}, ${name}: Weft against flannel`, figures, keys, { least: LEAST });
    }),
    limits: [],
    notes: [
      'both labs run at the same time; the rate of a run is that of its median exchange, or of the median twentieth of a stream',
      `a round’s rate is that of the best of ${EXCHANGES.runs} runs of round trips, and of the best of ${STREAMS} streams`,
    ],
    plots: measured.map(({ type, mode, name }) => ({
      kind: 'distribution',
      title: `${type}, ${name}`,
      figures: SUBJECTS.map(({ key }) => `${type}/${mode}/${key}`),
    })),
    headline: [],
  };
}
