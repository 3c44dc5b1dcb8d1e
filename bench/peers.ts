// What do thousands of nodes cost this one? The agent's reconciler programs 1000 and 5000 peers, and iproute2 programs the same
// state from batch files. Also measured: a run of the reconciler that finds nothing to do, one change, and the real agent's
// memory, processor time and event loop.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Netlink } from '../lib/netlink/connection.ts';
import { openNetlink } from '../lib/netlink/connection.ts';
import { openKoffiSyscalls } from '../lib/sys/koffi.ts';
import { figure, ratioOfFigures, shown, summaryTable } from './figures.ts';
import { isInside, measureInside } from './inside.ts';
import type { BenchOptions } from './options.ts';
import { type AgentFigures, measureAgent } from './peers/agent.ts';
import { makeUnderlay } from './peers/overlay.ts';
import { countChanges, measurePeers, type PeerRounds, type PeerSamples } from './peers/programming-rounds.ts';
import type { Progress } from './progress.ts';
import type { Figure, Part, PartResult, Table, ValueLimit } from './result.ts';
import { makeScratch } from './scratch.ts';
import { median } from './stats.ts';

/** The larger count comes first, so that its cold round is the first work this process does. */
const MANY = 5000;
const COUNTS = [MANY, 1000] as const;
const ROUNDS = 12;
const QUICK_ROUNDS = 5;
/** A minute is long enough to include the check that an idle agent makes once a minute. */
const IDLE = { idleMs: 60_000, restMs: 20_000 };
const QUICK_IDLE = { idleMs: 4000, restMs: 0 };

/** Limits at 5000 peers. */
const BATCH_LIMIT = 0.4;
const WALL_LIMIT_MS = 150;
const COMPARE_LIMIT_MS = 30;
const MESSAGES_LIMIT = 6;
const GAP_LIMIT_MS = 50;
const MEMORY_LIMIT_MB = 65;
/** Not lower: /proc counts only hundredths of a second, and the agent checks the firewall every few seconds. */
const IDLE_LIMIT_MS_PER_SEC = 5;

export const peersPart: Part = {
  name: 'peers',
  question: 'What do thousands of nodes cost this one?',
  seconds: { full: 170, quick: 25 },
  measure,
};

/** Measures in a network namespace and a process of its own, so that its first round is as after a restart. Needs root. */
async function measure(options: BenchOptions, progress: Progress): Promise<PartResult> {
  if (process.getuid?.() !== 0) throw new Error('peers needs root: it makes network namespaces');
  if (!isInside()) return await measureInside('peers', options, progress);
  const netlink = openNetlink(openKoffiSyscalls());
  makeUnderlay(netlink);
  return await measureAll(options, netlink, makeScratch(), progress);
}

async function measureAll(
  options: BenchOptions,
  netlink: Netlink,
  folder: string,
  progress: Progress,
): Promise<PartResult> {
  const { repository, quick, runs: rounds = quick ? QUICK_ROUNDS : ROUNDS } = options;
  if (!existsSync(join(repository, 'dist/flanneld'))) throw new Error('no dist/flanneld: run npm run build');
  const iproute2 = spawnSync('ip', ['-V'], { encoding: 'utf8' }).stdout?.trim() || 'no ip';
  const show = (line: string): void => progress.step(line, 0, 1);
  const byCount = new Map<number, PeerRounds>();
  for (const count of COUNTS) byCount.set(count, await measurePeers(netlink, folder, count, rounds, show));
  const changes = await countChanges(netlink, MANY);
  const agent = await measureAgent(netlink, repository, folder, quick ? QUICK_IDLE : IDLE, show);
  return { ...describe(byCount, changes, agent), about: { iproute2 } };
}

const NAMES: Readonly<Record<keyof PeerSamples, string>> = {
  agent: 'reconciler',
  batch: 'ip -batch + bridge -batch, the same state',
  plainBatch: 'the same with plain routes, as flannel makes them',
  compare: 'reconciler, nothing to do',
  cold: 'reconciler, first round of the process',
};
const KINDS = Object.keys(NAMES) as (keyof PeerSamples)[];
const keyOf = (count: number, kind: keyof PeerSamples): string => `${count}/${kind}`;

function describe(
  byCount: ReadonlyMap<number, PeerRounds>,
  changes: Readonly<Record<string, number>>,
  agent: AgentFigures,
): PartResult {
  const peers = [...byCount].flatMap(([count, { samples }]) => KINDS.map((kind) => peerFigure(count, kind, samples)));
  const singles = agentFigures(agent);
  const keys = (kind: keyof PeerSamples) => ({ of: keyOf(MANY, 'agent'), against: keyOf(MANY, kind) });
  return {
    figures: [...peers, ...singles],
    tables: [
      summaryTable('peers, interleaved, fresh devices', peers),
      {
        title: 'netlink messages for one change',
        head: ['', 'messages'],
        rows: Object.entries(changes).map(([what, count]) => [what, `${count}`]),
      },
      agentTable(singles),
    ],
    ratios: [
      ratioOfFigures(`reconciler against ip -batch, ${MANY} peers`, peers, keys('batch'), { most: BATCH_LIMIT }),
      ratioOfFigures(`reconciler against plain routes, ${MANY} peers`, peers, keys('plainBatch')),
    ],
    limits: limits(byCount.get(MANY)?.samples, changes, agent),
    failures: [...new Set([...byCount.values()].flatMap(({ failures }) => failures))],
    notes: [],
    plots: [
      {
        kind: 'lines',
        title: 'Programming peers',
        x: { label: 'peers', log: true },
        y: { label: 'ms', log: true },
        series: (['agent', 'batch', 'plainBatch', 'compare'] as const).map((kind) => ({
          name: NAMES[kind],
          points: [...byCount.keys()]
            .toSorted((a, b) => a - b)
            .map((count) => ({ x: count, figure: keyOf(count, kind) })),
        })),
      },
    ],
    headline: [
      { name: `${MANY} peers programmed`, figure: keyOf(MANY, 'agent') },
      { name: 'memory of the agent with 1000 peers', figure: 'agent/memory/with-1000-peers' },
    ],
  };
}

function peerFigure(count: number, kind: keyof PeerSamples, samples: PeerSamples): Figure {
  const role = kind === 'batch' || kind === 'plainBatch' ? 'reference' : 'weft';
  const name = `${count} peers: ${NAMES[kind]}`;
  return figure({ key: keyOf(count, kind), name, unit: 'ms', better: 'lower', role }, samples[kind]);
}

function agentFigures({ memoryMb, idleMsPerSec, convergeMs, gap }: AgentFigures): Figure[] {
  const figures = (what: string, slug: string, unit: string, values: Readonly<Record<string, number>>): Figure[] =>
    Object.entries(values).map(([when, value]) => {
      const key = `agent/${slug}/${when.replaceAll(/[^a-z0-9]+/g, '-')}`;
      return figure({ key, name: `${what}, ${when}`, unit, better: 'lower', role: 'weft' }, [value]);
    });
  return [
    ...figures('memory', 'memory', 'MB', memoryMb),
    ...figures('processor, idle', 'processor', 'ms/s', idleMsPerSec),
    ...figures('from lease files to routes', 'converge', 'ms', convergeMs),
    ...figures('longest event-loop gap meanwhile', 'gap', 'ms', {
      'all of it': gap.longest,
      'without waiting for a processor': gap.longestOwn,
    }),
  ];
}

function agentTable(figures: readonly Figure[]): Table {
  const rows = figures.map(({ name, unit, samples: [value] }) => [name, `${shown(value ?? Number.NaN)} ${unit}`]);
  return { title: 'dist/flanneld', head: ['', 'value'], rows };
}

function limits(
  many: PeerSamples | undefined,
  changes: Readonly<Record<string, number>>,
  agent: AgentFigures,
): ValueLimit[] {
  const at = `at ${MANY} peers`;
  const most = Math.max(...Object.values(changes));
  const memory = agent.memoryMb['with 1000 peers'] ?? Number.NaN;
  return [
    { name: `reconciler ${at}`, value: median(many?.agent ?? []), most: WALL_LIMIT_MS, unit: 'ms' },
    {
      name: `reading back and comparing ${at}`,
      value: median(many?.compare ?? []),
      most: COMPARE_LIMIT_MS,
      unit: 'ms',
    },
    { name: `messages for one change ${at}`, value: most, most: MESSAGES_LIMIT, unit: 'messages' },
    { name: 'event-loop gap', value: agent.gap.longestOwn, most: GAP_LIMIT_MS, unit: 'ms' },
    { name: 'memory with 1000 peers', value: memory, most: MEMORY_LIMIT_MB, unit: 'MB' },
    ...Object.entries(agent.idleMsPerSec).map(([when, value]) => {
      return { name: `processor, idle ${when}`, value, most: IDLE_LIMIT_MS_PER_SEC, unit: 'ms/s' };
    }),
  ];
}
