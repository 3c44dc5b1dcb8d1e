// How much faster is the fast path? Pods on two nodes are measured with each kind of fast path and without one, and so are the nodes
// themselves, in turns over one pair of devices. Exchanges and streams are measured with both ends on one processor, where they take as long
// as all the work for them together. Exchanges are measured also with the ends wherever the kernel puts them, and streams with the ends on two
// processors: then what is measured is also how long each end waits for the other one to wake up.

import { cpus } from 'node:os';
import { join } from 'node:path';
import { rotated } from './cni/plan.ts';
import { type Loaded, type LoadMode, PathLoad } from './fast-path/load.ts';
import { fastModes, netnsOf, type Site, setWay, startSite, type Way } from './fast-path/site.ts';
import { figure, ratioOfFigures, summaryTable } from './figures.ts';
import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';
import type { Figure, Part, PartResult, RatioOfFigures } from './result.ts';
import { makeScratch } from './scratch.ts';
import { compile } from './start.ts';
import { median } from './stats.ts';

const ROUNDS = 12;
const QUICK_ROUNDS = 2;
const SECONDS = 0.25;
/** How often a stream is measured in a round. The best one counts, because a slower one mostly shows a rhythm of the scheduler. */
const STREAMS = { one: 2, two: 5, any: 1 } as const;
const STREAM_SECONDS = 0.18;
/**
 * The congestion control that Linux has by default. The machine may have another one, such as bbr, which sends each packet by a timer: then
 * it is also timers that are measured.
 */
const CONGESTION = 'cubic';
const BITS_PER_BYTE = 8;
/** First exchanges in a round; their median counts. */
const FIRSTS = 9;
/** The ports of the servers that are bound to one processor, and of those that may run anywhere. */
const PINNED_PORT = 7100;
const FREE_PORT = 7200;

export const fastPathPart: Part = {
  name: 'fast-path',
  question: 'What does the fast path give?',
  seconds: { full: 300 },
  measure,
};

type Where = 'remote' | 'local' | 'unsegmented' | 'first';

interface Measure {
  readonly key: string;
  readonly name: string;
  readonly mode: LoadMode;
  readonly where: Where;
  /** Whether both ends run on one processor, each on another one, or anywhere. */
  readonly ends: 'one' | 'two' | 'any';
}

const MEASURES: readonly Measure[] = [
  { key: 'tcp', name: 'TCP exchanges', mode: 'tcp', where: 'remote', ends: 'one' },
  { key: 'udp', name: 'UDP exchanges', mode: 'udp', where: 'remote', ends: 'one' },
  { key: 'connect', name: 'connect, exchange, close', mode: 'connect', where: 'remote', ends: 'one' },
  { key: 'stream', name: 'TCP, one stream', mode: 'stream', where: 'remote', ends: 'two' },
  { key: 'stream-one', name: 'TCP, one stream on one processor', mode: 'stream', where: 'remote', ends: 'one' },
  { key: 'tcp-any', name: 'TCP exchanges, unpinned', mode: 'tcp', where: 'remote', ends: 'any' },
  { key: 'udp-any', name: 'UDP exchanges, unpinned', mode: 'udp', where: 'remote', ends: 'any' },
  { key: 'first', name: 'first exchange', mode: 'first', where: 'first', ends: 'one' },
  { key: 'local-tcp', name: 'on one node, TCP exchanges', mode: 'tcp', where: 'local', ends: 'one' },
  { key: 'local-udp', name: 'on one node, UDP exchanges', mode: 'udp', where: 'local', ends: 'one' },
  { key: 'local-stream', name: 'on one node, TCP, one stream', mode: 'stream', where: 'local', ends: 'two' },
  {
    key: 'local-stream-one',
    name: 'on one node, TCP, one stream on one processor',
    mode: 'stream',
    where: 'local',
    ends: 'one',
  },
  {
    key: 'plain-tcp',
    name: 'without tunnel segmentation, TCP exchanges',
    mode: 'tcp',
    where: 'unsegmented',
    ends: 'one',
  },
  {
    key: 'plain-udp',
    name: 'without tunnel segmentation, UDP exchanges',
    mode: 'udp',
    where: 'unsegmented',
    ends: 'one',
  },
  {
    key: 'plain-stream',
    name: 'without tunnel segmentation, TCP, one stream',
    mode: 'stream',
    where: 'unsegmented',
    ends: 'two',
  },
  {
    key: 'plain-stream-one',
    name: 'without tunnel segmentation, TCP, one stream on one processor',
    mode: 'stream',
    where: 'unsegmented',
    ends: 'one',
  },
];
/** Processor time that a stream takes, by the stream. */
const COSTS: Readonly<Record<string, string>> = {
  stream: 'stream-cost',
  'stream-one': 'stream-one-cost',
  'local-stream': 'local-stream-cost',
  'local-stream-one': 'local-stream-one-cost',
};

type Subject = Way | 'node';
const subjectName = (subject: Subject): string =>
  subject === 'node' ? 'node to node' : subject === 'classic' ? 'classic' : `fast path, ${subject}`;

async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('fast-path needs root: it makes network namespaces');
  const { quick, runs: rounds = quick ? QUICK_ROUNDS : ROUNDS } = options;
  const scratch = makeScratch();
  const load = new PathLoad(
    compile(join(options.repository, 'bench/fast-path/path-load.c'), join(scratch, 'path-load')),
  );
  progress.step('fast-path: lab of two nodes', 0, 1);
  const site = await startSite(scratch);
  try {
    const stop = await startServers(site, load);
    const { samples, failures } = await measureRounds(site, load, rounds, progress).finally(stop);
    return { ...describe(samples), failures };
  } finally {
    await site.lab.down();
  }
}

const lastCpu = cpus().length - 1;

/** Starts two servers at each place that answers requests. */
async function startServers({ nodes, near, far }: Site, load: PathLoad): Promise<() => void> {
  const servers: { stop(): void }[] = [];
  const stop = (): void => {
    for (const server of servers) server.stop();
  };
  try {
    for (const netns of [far.netnsFromOutside, near[1].netnsFromOutside, netnsOf(nodes[1])]) {
      servers.push(await load.serve(netns, PINNED_PORT, lastCpu));
      servers.push(await load.serve(netns, FREE_PORT, undefined));
    }
    return stop;
  } catch (error) {
    stop();
    throw error;
  }
}

/** One sample a round for each figure `MEASURE/SUBJECT`; NaN where it failed. */
type Samples = Map<string, number[]>;

async function measureRounds(
  site: Site,
  load: PathLoad,
  rounds: number,
  progress: Progress,
): Promise<{ samples: Samples; failures: string[] }> {
  const samples: Samples = new Map();
  const failures: string[] = [];
  const subjects: readonly Subject[] = ['node', 'classic', ...fastModes];
  for (let round = 0; round < rounds; round++) {
    for (const [index, subject] of rotated(subjects, round).entries()) {
      progress.step('fast-path', round * subjects.length + index, rounds * subjects.length);
      const { values, problems } = await measureSubject(site, load, subject);
      failures.push(...problems.map((problem) => `${problem}, round ${round + 1}`));
      for (const [key, value] of values) {
        const kept = samples.get(key) ?? Array.from({ length: rounds }, () => Number.NaN);
        kept[round] = value;
        samples.set(key, kept);
      }
    }
  }
  return { samples, failures };
}

/** Measures one value for each figure of the subject. */
async function measureSubject(
  site: Site,
  load: PathLoad,
  subject: Subject,
): Promise<{ values: Map<string, number>; problems: string[] }> {
  const values = new Map<string, number>();
  const problems: string[] = [];
  if (subject !== 'node') await setWay(site, subject);
  for (const measured of MEASURES.filter(({ where }) => subject !== 'node' || where === 'remote')) {
    try {
      const { rate, processor } = await measureOne(site, load, measured, subject);
      values.set(`${measured.key}/${subject}`, rate);
      const cost = COSTS[measured.key];
      if (cost !== undefined) values.set(`${cost}/${subject}`, processor);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      problems.push(`${measured.name}, ${subjectName(subject)}: ${text}`);
    }
  }
  return { values, problems };
}

async function measureOne(site: Site, load: PathLoad, measured: Measure, subject: Subject): Promise<Loaded> {
  const { nodes, near, far } = site;
  const both = nodes.map(netnsOf);
  const [client, server] =
    subject === 'node'
      ? [netnsOf(nodes[0]), nodes[1].address]
      : [near[0].netnsFromOutside, measured.where === 'local' ? near[1].ip : far.ip];
  const cpu = { one: lastCpu, two: 0, any: undefined }[measured.ends];
  const port = measured.ends === 'any' ? FREE_PORT : PINNED_PORT;
  const times = STREAMS[measured.ends];
  const how =
    measured.mode === 'stream'
      ? { seconds: STREAM_SECONDS * times, times, congestion: CONGESTION }
      : { seconds: SECONDS, congestion: CONGESTION };
  const spec = { mode: measured.mode, port, cpu, netns: client, to: server, ...how };
  for (const netns of both) await load.forget(netns);
  switch (measured.where) {
    case 'first':
      return { rate: await firstExchanges(site, load, spec), processor: Number.NaN };
    case 'unsegmented':
      try {
        for (const netns of both) await load.setTunnelSegments(netns, 'eth0', false);
        return withWork(measured, await load.run(spec));
      } finally {
        for (const netns of both) await load.setTunnelSegments(netns, 'eth0', true);
      }
    default:
      return withWork(measured, await load.run(spec));
  }
}

/**
 * A stream whose ends share a processor keeps it busy all the time, so a GB takes as much of the processor as it takes time. This is exact;
 * the kernel counts by ticks, what other programs do as well.
 */
function withWork({ mode, ends }: Measure, { rate, processor }: Loaded): Loaded {
  return { rate, processor: mode === 'stream' && ends === 'one' ? BITS_PER_BYTE / rate : processor };
}

/** The median time of some first exchanges. Before each one, tracked connections and the neighbours of pods are removed. */
async function firstExchanges(site: Site, load: PathLoad, spec: Parameters<PathLoad['run']>[0]): Promise<number> {
  const taken: number[] = [];
  for (let index = 0; index < FIRSTS; index++) {
    for (const node of site.nodes) {
      await load.forget(netnsOf(node));
      await node.run(['ip', 'neigh', 'flush', 'dev', 'cni0']);
    }
    for (const pod of [site.near[0], site.far]) await pod.exec(['ip', 'neigh', 'flush', 'dev', 'eth0']);
    taken.push((await load.run(spec)).rate);
  }
  return median(taken);
}

/** The least or the most that a measure may be, relative to the nodes themselves or to the classic way. */
type Limits = Readonly<Record<string, { readonly least?: number; readonly most?: number }>>;

const AGAINST_NODE: Readonly<Record<string, Limits>> = {
  redirect: { tcp: { least: 0.7 }, udp: { least: 0.62 }, stream: { least: 0.7 } },
  full: {
    tcp: { least: 0.88 },
    udp: { least: 0.85 },
    connect: { least: 0.9 },
    stream: { least: 0.8 },
    'stream-one-cost': { most: 1.1 },
  },
};
const AGAINST_CLASSIC: Limits = {
  'local-tcp': { least: 1.2 },
  'local-udp': { least: 1.2 },
  'local-stream-one': { least: 1.2 },
  'plain-tcp': { least: 1 },
  'plain-udp': { least: 1 },
  'plain-stream': { least: 1 },
  'plain-stream-one': { least: 1 },
  first: { most: 1 },
};

function describe(samples: Samples): Omit<PartResult, 'failures'> {
  const measures = [
    ...MEASURES.map(({ key, name, mode, where }) => ({ key, name, where, unit: unitOf(mode) })),
    ...MEASURES.flatMap(({ key, name, where }) => {
      const cost = COSTS[key];
      return cost === undefined ? [] : [{ key: cost, name: `${name}, processor time`, where, unit: 's/GB' } as const];
    }),
  ];
  const subjects: readonly Subject[] = [...fastModes, 'classic', 'node'];
  const figures = measures.flatMap(({ key, name, unit }) =>
    subjects.flatMap((subject): Figure[] => {
      const values = samples.get(`${key}/${subject}`);
      if (values === undefined) return [];
      const better = unit === 'µs' || unit === 's/GB' ? 'lower' : 'higher';
      const role = subject === 'node' ? 'reference' : 'weft';
      return [
        figure({ key: `${key}/${subject}`, name: `${name}, ${subjectName(subject)}`, unit, better, role }, values),
      ];
    }),
  );
  const ratio = (key: string, name: string, of: Subject, against: Subject, limit = {}): RatioOfFigures =>
    ratioOfFigures(
      `${name}: ${subjectName(of)} against ${subjectName(against)}`,
      figures,
      { of: `${key}/${of}`, against: `${key}/${against}` },
      limit,
    );
  const has = (key: string, subject: Subject): boolean => samples.has(`${key}/${subject}`);
  return {
    figures,
    tables: [...new Set(measures.map(({ unit }) => unit))].map((unit) =>
      summaryTable(
        'interleaved',
        figures.filter((each) => each.unit === unit),
      ),
    ),
    ratios: measures.flatMap(({ key, name, where }) => [
      ...(where === 'remote' && has(key, 'classic') ? [ratio(key, name, 'classic', 'node')] : []),
      ...fastModes.flatMap((mode) => [
        ...(where === 'remote' && has(key, mode) ? [ratio(key, name, mode, 'node', AGAINST_NODE[mode]?.[key])] : []),
        ...(has(key, mode) && has(key, 'classic') ? [ratio(key, name, mode, 'classic', AGAINST_CLASSIC[key])] : []),
      ]),
    ]),
    limits: [],
    notes: [
      `TCP with the congestion control ${CONGESTION}`,
      'one pair of devices joins the nodes: no network card takes part',
      'a rate is that of the median exchange, or of the median twentieth of a stream',
    ],
    plots: MEASURES.filter(({ where }) => where === 'remote').map(({ key, name }) => ({
      kind: 'distribution',
      title: name,
      figures: subjects.map((subject) => `${key}/${subject}`).filter((figureKey) => samples.has(figureKey)),
    })),
    headline: [],
  };
}

function unitOf(mode: LoadMode): string {
  if (mode === 'first') return 'µs';
  return mode === 'stream' ? 'Gbit/s' : 'exchanges/s';
}
