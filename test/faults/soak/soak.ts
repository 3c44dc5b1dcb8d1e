// A soak: for minutes, faults, lease changes and pods come and go on five nodes at the same time, chosen by a seed. Afterwards every
// node must have exactly the right state, every pod must reach every other, and the agents must not have grown.

import { setTimeout as sleep } from 'node:timers/promises';
import { errorText } from '../../../lib/errors.ts';
import { type Lab, startLab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/lab-node.ts';
import { failed } from '../../lab/matrix.ts';
import { agentPid, logLines, openDescriptors, residentKib } from '../agent-process.ts';
import { dataPlaneFaults, firewallFaults } from '../node-check.ts';
import { makeTwoBuilds } from '../two-builds.ts';
import { type Action, changeCluster, changePods } from './changes.ts';
import { harmSomething } from './harm.ts';
import { Random } from './random.ts';
import { type MemoryTrend, memoryTrend, type Sample } from './vitals.ts';
import { WITNESS, World } from './world.ts';

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  /** Called with one line for each event. */
  readonly onEvent: (text: string) => void;
}

export interface SoakReport {
  /** How often each kind of action was done. */
  readonly done: Readonly<Record<string, number>>;
  /** The time from the last fault until the state of every node was right. */
  readonly settledMs: number;
  readonly pods: number;
  /** The memory of the agent that ran through the whole soak. */
  readonly memory: MemoryTrend;
  readonly descriptors: { readonly before: number; readonly after: number };
  /** Everything that is not as it should be; empty when the soak has passed. */
  readonly problems: readonly string[];
}

const NODES = 5;
const SAMPLE_MS = 1000;
/**
 * How long the nodes may take after the last fault. A contested object is repaired once a second; a peer that the kernel refused is
 * retried after half a minute.
 */
const SETTLE_TIMEOUT_MS = 45_000;
const DESCRIPTOR_TIMEOUT_MS = 10_000;
/** How much a heap may differ between two garbage collections. */
const MAX_GROWTH_MIB = 12;

interface Actor {
  readonly name: string;
  readonly action: Action;
  readonly leastMs: number;
  readonly mostMs: number;
}

interface Stage {
  readonly isOver: () => boolean;
  readonly onEvent: (text: string) => void;
  readonly problems: string[];
}

const actors: readonly Actor[] = [
  { name: 'faults', action: harmSomething, leastMs: 20, mostMs: 400 },
  { name: 'cluster changes', action: changeCluster, leastMs: 100, mostMs: 1500 },
  { name: 'pods', action: changePods, leastMs: 50, mostMs: 700 },
];

/** Needs root and a build. Rejects when the lab cannot be started; what goes wrong afterwards is in the report. */
export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const builds = makeTwoBuilds();
  try {
    const lab = await startLab({ nodes: NODES, agent: { file: builds.file } });
    try {
      return await soak(new World(lab, builds), options);
    } finally {
      await lab.down();
    }
  } finally {
    builds.remove();
  }
}

async function soak(world: World, { minutes, seed, onEvent }: SoakOptions): Promise<SoakReport> {
  const { lab } = world;
  const problems: string[] = [];
  const witness = await agentPid(lab.node(WITNESS));
  const before = await steadyDescriptors(witness);
  const startMs = performance.now();
  const untilMs = startMs + minutes * 60_000;
  const samples: Sample[] = [];
  const isOver = (): boolean => performance.now() >= untilMs || problems.length > 0;
  const watching = sample(witness, startMs, isOver, samples);
  const done: Record<string, number> = {};
  const random = new Random(seed);
  await Promise.all(
    actors.map(async (actor) => {
      done[actor.name] = await play(world, actor, random.fork(), { isOver, onEvent, problems });
    }),
  );
  await watching;
  const memory = memoryTrend(samples);
  const { settledMs, after } = problems.length > 0 ? NOT_CHECKED : await check(world, memory, before, problems);
  return { done, settledMs, pods: lab.pods.length, memory, descriptors: { before, after }, problems };
}

interface Checked {
  readonly settledMs: number;
  /** The open descriptors of the agent that was never ended. */
  readonly after: number;
}

/** Used for a soak that was aborted: it has already failed, and its state cannot be judged. */
const NOT_CHECKED: Checked = { settledMs: Number.NaN, after: Number.NaN };

async function check(world: World, memory: MemoryTrend, before: number, problems: string[]): Promise<Checked> {
  const { lab } = world;
  try {
    const settledMs = await settle(world, problems);
    await checkPods(lab, problems);
    const growth = memory.lateMib - memory.earlyMib;
    if (growth > MAX_GROWTH_MIB) problems.push(`the agent of ${WITNESS} grew by ${growth.toFixed(1)} MiB`);
    return { settledMs, after: await checkAgents(lab, before, problems) };
  } catch (error) {
    problems.push(errorText(error));
    return NOT_CHECKED;
  }
}

/** Does one action after the other until the time is up or one fails, since later failures would only follow from that one. */
async function play(
  world: World,
  { action, leastMs, mostMs }: Actor,
  random: Random,
  { isOver, onEvent, problems }: Stage,
): Promise<number> {
  let count = 0;
  while (!isOver()) {
    try {
      const what = await action(world, random);
      if (what !== undefined) {
        count += 1;
        onEvent(what);
      }
    } catch (error) {
      problems.push(errorText(error));
      onEvent(`FAILED ${errorText(error)}`);
    }
    await sleep(random.integer(leastMs, mostMs));
  }
  return count;
}

async function sample(pid: number, startMs: number, isOver: () => boolean, samples: Sample[]): Promise<void> {
  while (!isOver()) {
    samples.push({ minutes: (performance.now() - startMs) / 60_000, residentKib: residentKib(pid) });
    await sleep(SAMPLE_MS);
  }
}

/** Resolves with the time until the state of every node was right. When that takes too long, it notes what is still wrong. */
async function settle(world: World, problems: string[]): Promise<number> {
  const { lab } = world;
  world.dropBroken();
  const startMs = performance.now();
  for (;;) {
    const wrong: string[] = [];
    for (const node of lab.nodes) wrong.push(...(await faultsOf(lab, node)));
    const tookMs = performance.now() - startMs;
    if (wrong.length === 0) return tookMs;
    if (tookMs > SETTLE_TIMEOUT_MS) {
      problems.push(...wrong);
      return tookMs;
    }
    await sleep(100);
  }
}

async function faultsOf(lab: Lab, node: LabNode): Promise<string[]> {
  const faults = [...(await dataPlaneFaults(lab, node)), ...(await firewallFaults(lab, node))];
  return faults.map((fault) => `${node.name}: ${fault}`);
}

async function checkPods(lab: Lab, problems: string[]): Promise<void> {
  for (const node of lab.nodes) if (node.pods.length === 0) await node.addPod();
  const lost = failed(await lab.matrix());
  problems.push(...lost.map(({ from, to, failure }) => `${from} to ${to}: ${failure}`));
  for (const node of lab.nodes) {
    const ports = (await node.run(['ip', '-o', 'link', 'show', 'master', 'cni0'])).split('\n').filter(Boolean).length;
    if (ports !== node.pods.length) problems.push(`${node.name}: ${node.pods.length} pods, ${ports} ports of cni0`);
  }
}

/**
 * Expects that every agent runs, has logged no line of the level error, and has as many descriptors open as the first agent had at
 * the beginning.
 */
async function checkAgents(lab: Lab, before: number, problems: string[]): Promise<number> {
  let witness = 0;
  for (const node of lab.nodes) {
    const after = await steadyDescriptors(await agentPid(node), before);
    if (after !== before) problems.push(`${node.name}: the agent has ${after} descriptors open, not ${before}`);
    if (node.name === WITNESS) witness = after;
    for (const line of logLines(node)) {
      if (line.level === 'error') problems.push(`${node.name}: ${JSON.stringify(line)}`);
    }
  }
  return witness;
}

/**
 * Counts open descriptors. Pipes to nft and lease files are open only for a short time, so it waits until the number is `wanted` or
 * does not change for a while.
 */
async function steadyDescriptors(pid: number, wanted?: number): Promise<number> {
  const deadline = performance.now() + DESCRIPTOR_TIMEOUT_MS;
  let last = openDescriptors(pid);
  for (let same = 0; performance.now() < deadline; ) {
    await sleep(100);
    const now = openDescriptors(pid);
    same = now === last ? same + 1 : 0;
    last = now;
    if (wanted === undefined ? same >= 10 : now === wanted) return now;
  }
  return last;
}
