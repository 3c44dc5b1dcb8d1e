// What do thousands of nodes cost this one? 1000 and 5000 peers programmed by the agent's reconciler beside iproute2
// with the same state in batch files; comparing; one change; then the real agent: memory, processor, event loop.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Netlink } from '../lib/netlink/connection.ts';
import { openNetlink } from '../lib/netlink/connection.ts';
import { openKoffiSyscalls } from '../lib/sys/koffi.ts';
import { type Disclosure, describeMachine, discloseMachine } from './disclosure.ts';
import { judgeRatio, judgeValue, type Verdict, verdictTable } from './limits.ts';
import type { BenchOptions } from './options.ts';
import { type AgentFigures, measureAgent } from './peers/agent.ts';
import { makeUnderlay } from './peers/overlay.ts';
import { countChanges, measurePeers, type PeerRounds, type PeerSamples } from './peers/rounds.ts';
import { makeScratch } from './scratch.ts';
import { median, ratioOfMedians, summarize } from './stats.ts';
import { table } from './table.ts';

/** The larger first: its cold round is then the first of all. */
const COUNTS = [5000, 1000] as const;
const ROUNDS = 12;
const QUICK_ROUNDS = 5;
const IDLE_MS = 30_000;
const QUICK_IDLE_MS = 6000;

/** Limits at 5000 peers. */
const BATCH_LIMIT = 0.4;
const WALL_LIMIT_MS = 150;
const COMPARE_LIMIT_MS = 30;
const MESSAGES_LIMIT = 6;
const GAP_LIMIT_MS = 50;
const MEMORY_LIMIT_MB = 65;
/** /proc counts hundredths of a second; and every few seconds the agent looks at the firewall. */
const IDLE_LIMIT_MS_PER_SEC = 5;

/** Set in the process that runs inside a network namespace of its own. */
const INSIDE = 'WEFT_BENCH_INSIDE';

/** Prints tables and limits; false when a limit was not kept. Needs root. */
export async function benchPeers(options: BenchOptions): Promise<boolean> {
  if (process.getuid?.() !== 0) throw new Error('peers needs root: it makes network namespaces');
  if (process.env[INSIDE] === undefined) return runInside();
  const netlink = openNetlink(openKoffiSyscalls());
  makeUnderlay(netlink);
  return await measureAll(options, netlink, makeScratch());
}

/** This program again, as the only one in a network namespace; it ends when this one does. */
function runInside(): boolean {
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { status, error } = spawnSync('setpriv', ['--pdeathsig', 'TERM', '--', 'unshare', '--net', '--', ...self], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' },
  });
  if (error !== undefined) throw error;
  return status === 0;
}

async function measureAll(options: BenchOptions, netlink: Netlink, folder: string): Promise<boolean> {
  const { repository, quick, runs: rounds = quick ? QUICK_ROUNDS : ROUNDS } = options;
  if (!existsSync(join(repository, 'dist/flanneld'))) throw new Error('no dist/flanneld: run npm run build');
  const machine = discloseMachine(folder);
  const iproute2 = spawnSync('ip', ['-V'], { encoding: 'utf8' }).stdout?.trim() || 'no ip';
  say(`${describeMachine(machine)}, ${iproute2}`);
  const byCount = new Map<number, PeerRounds>();
  for (const count of COUNTS) byCount.set(count, await measurePeers(netlink, folder, count, rounds, show));
  const changes = await countChanges(netlink, Math.max(...COUNTS));
  const [many, few] = COUNTS.map((count) => byCount.get(count));
  if (few === undefined || many === undefined) throw new Error('nothing was measured');
  say(peersTable(byCount, rounds));
  say(
    table(
      ['netlink messages for', ''],
      Object.entries(changes).map(([what, count]) => [what, `${count}`]),
    ),
  );
  const agent = await measureAgent(netlink, repository, folder, quick ? QUICK_IDLE_MS : IDLE_MS, show);
  say(agentTable(agent));
  const verdicts = judge(many.samples, changes, agent);
  const failures = [...new Set([...few.failures, ...many.failures])];
  const raw = {
    peers: Object.fromEntries([...byCount].map(([count, { samples }]) => [count, samples])),
    changes,
    agent,
  };
  return conclude(options, { machine, iproute2, verdicts, failures, raw });
}

const NAMES: Readonly<Record<keyof PeerSamples, string>> = {
  agent: 'reconciler',
  batch: 'ip -batch + bridge -batch, the same state',
  plainBatch: 'the same with plain routes, as flannel makes them',
  compare: 'reconciler, nothing to do',
  cold: 'reconciler, first round of the process',
};

function peersTable(byCount: ReadonlyMap<number, PeerRounds>, rounds: number): string {
  const rows = [...byCount].flatMap(([count, { samples }]) =>
    (Object.keys(NAMES) as (keyof PeerSamples)[]).map((kind) => {
      const { p50, p90, max } = summarize(samples[kind]);
      return [`${count} peers: ${NAMES[kind]}`, ...[p50, p90, max].map((ms) => ms.toFixed(1))];
    }),
  );
  return table([`ms, ${rounds} rounds, interleaved, fresh devices`, 'p50', 'p90', 'max'], rows);
}

function agentTable({ memoryMb, idleMsPerSec, convergeMs, gap }: AgentFigures): string {
  const rows = (what: string, unit: string, values: Readonly<Record<string, number>>): string[][] =>
    Object.entries(values).map(([when, value]) => [`${what}, ${when}`, `${value.toFixed(1)} ${unit}`]);
  return table(
    ['dist/flanneld', ''],
    [
      ...rows('memory', 'MB', memoryMb),
      ...rows('processor, idle', 'ms/s', idleMsPerSec),
      ...rows('from lease files to routes', 'ms', convergeMs),
      ['longest event-loop gap meanwhile', `${gap.longest.toFixed(1)} ms`],
      ['the same without waiting for a processor', `${gap.longestOwn.toFixed(1)} ms`],
    ],
  );
}

function judge(many: PeerSamples, changes: Readonly<Record<string, number>>, agent: AgentFigures): Verdict[] {
  const at = 'at 5000 peers';
  return [
    judgeRatio(`reconciler against ip -batch ${at}`, ratioOfMedians(many.agent, many.batch), BATCH_LIMIT),
    judgeValue(`reconciler ${at}`, median(many.agent), WALL_LIMIT_MS, 'ms'),
    judgeValue(`reading back and comparing ${at}`, median(many.compare), COMPARE_LIMIT_MS, 'ms'),
    judgeValue(`messages for one change ${at}`, Math.max(...Object.values(changes)), MESSAGES_LIMIT, 'messages'),
    judgeValue('event-loop gap', agent.gap.longestOwn, GAP_LIMIT_MS, 'ms'),
    judgeValue('memory with 1000 peers', agent.memoryMb['with 1000 peers'] ?? Number.NaN, MEMORY_LIMIT_MB, 'MB'),
    ...Object.entries(agent.idleMsPerSec).map(([when, value]) =>
      judgeValue(`processor, idle ${when}`, value, IDLE_LIMIT_MS_PER_SEC, 'ms/s'),
    ),
  ];
}

function conclude(
  { json }: BenchOptions,
  result: {
    machine: Disclosure;
    iproute2: string;
    verdicts: readonly Verdict[];
    failures: readonly string[];
    raw: unknown;
  },
): boolean {
  const { verdicts, failures } = result;
  say(verdictTable(verdicts));
  if (failures.length > 0) say(`FAILED\n${failures.join('\n')}`);
  if (json !== undefined) {
    mkdirSync(dirname(json), { recursive: true });
    writeFileSync(json, `${JSON.stringify({ question: 'peers', ...result }, null, 1)}\n`);
    say(`raw samples: ${json}`);
  }
  return failures.length === 0 && verdicts.every(({ kept }) => kept);
}

function say(text: string): void {
  process.stdout.write(`${text}\n\n`);
}

/** One line that says what is being done: redrawn on a terminal, left out elsewhere. */
function show(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}\r`);
}
