// Runs two agents side by side, one with probes and one without, and measures both in the same windows of time. Halfway they change roles,
// so that each node has been the one with probes.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchStatus } from '../../flanneld/health/status/client.ts';
import { agentPid, childrenCpuMs } from '../../test/faults/agent-process.ts';
import { LEASE_FOLDER, NET_CONF_FILE, SUBNET_FILE, UNDERLAY_DEVICE } from '../../test/lab/contract.ts';
import type { Lab } from '../../test/lab/lab.ts';
import type { LabNode } from '../../test/lab/lab-node.ts';
import { builtAgent, requireBuilt } from '../../test/lab/programs.ts';
import { HEALTH_FLAGS, writeLauncher } from '../../test/lab/support/launcher-script.ts';
import { connect } from './probed-lab.ts';

export const MODES = ['on', 'off'] as const;
/** Whether an agent probes. */
export type Mode = (typeof MODES)[number];

/** One agent in one window. */
export interface Window {
  /** Processor time of the agent and of the programs that it runs. */
  readonly processorMsPerSec: number;
  /** All packets of the underlay device, in and out. */
  readonly packetsPerSec: number;
}

/** What the agent with probes knew about its peers at the end of a half. */
export interface Outcome {
  readonly states: Readonly<Record<string, number>>;
  readonly findings: readonly string[];
}

export interface Plan {
  /** The number of windows in each half. */
  readonly windows: number;
  readonly windowMs: number;
  /**
   * The time between the start of an agent and the first window, in which the garbage of thousands of leases is collected and probes begin.
   */
  readonly settleMs: number;
}

export interface Lane {
  readonly node: LabNode;
  readonly mode: Mode;
}

/** Measures one half. Calls `onWindow` before each window. */
export async function measureHalf(
  lab: Lab,
  crowd: LabNode,
  lanes: readonly Lane[],
  { windows, windowMs, settleMs }: Plan,
  onWindow: () => void,
): Promise<{ samples: Record<Mode, Window[]>; outcome: Outcome }> {
  const samples: Record<Mode, Window[]> = { on: [], off: [] };
  try {
    for (const { node, mode } of lanes) await startAgent(lab, crowd, node, mode);
    const pids = await Promise.all(lanes.map(({ node }) => agentPid(node)));
    await sleep(settleMs);
    let before = readAll(pids);
    for (let window = 0; window < windows; window++) {
      onWindow();
      await sleep(windowMs);
      const after = readAll(pids);
      for (const [at, { mode }] of lanes.entries()) samples[mode].push(windowOf(before[at], after[at]));
      before = after;
    }
    const prober = lanes.find(({ mode }) => mode === 'on');
    if (prober === undefined) throw new Error('no agent with probes was measured');
    return { samples, outcome: await outcomeOf(prober.node) };
  } finally {
    for (const { node } of lanes) await node.agent.stop();
  }
}

async function startAgent(lab: Lab, crowd: LabNode, node: LabNode, mode: Mode): Promise<void> {
  const flags = [
    `--node-name=${node.name}`,
    `--subnet-dir=${LEASE_FOLDER}`,
    `--net-config-path=${NET_CONF_FILE}`,
    `--subnet-file=${SUBNET_FILE}`,
    `--iface=${UNDERLAY_DEVICE}`,
    `--probes=${mode}`,
    ...HEALTH_FLAGS,
  ];
  writeLauncher(node, [requireBuilt(builtAgent), ...flags]);
  await node.agent.start();
  await node.agent.ready();
  await connect(lab, crowd, node);
}

interface Reading {
  readonly atMs: number;
  readonly processorMs: number;
  readonly packets: number;
}

function readAll(pids: readonly number[]): Reading[] {
  return pids.map((pid) => ({ atMs: performance.now(), processorMs: processorMs(pid), packets: packetsOf(pid) }));
}

function windowOf(before: Reading | undefined, after: Reading | undefined): Window {
  if (before === undefined || after === undefined) throw new Error('an agent was not read');
  const seconds = (after.atMs - before.atMs) / 1000;
  return {
    processorMsPerSec: (after.processorMs - before.processorMs) / seconds,
    packetsPerSec: (after.packets - before.packets) / seconds,
  };
}

/** Read from its threads, in nanoseconds: /proc/PID/stat counts in hundredths of a second, of which a window has only a few. */
function processorMs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const [ranNs] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
    return Number(ranNs) / 1e6;
  });
  return threads.reduce((sum, one) => sum + one, childrenCpuMs(pid));
}

/** The counters of the underlay device in the agent's network namespace: received bytes, packets, six more, sent bytes, packets. */
function packetsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/net/dev`, 'utf8');
  const fields = new RegExp(`^ *${UNDERLAY_DEVICE}: *(.*)$`, 'm').exec(text)?.[1]?.trim().split(/\s+/) ?? [];
  return Number(fields[1]) + Number(fields[9]);
}

async function outcomeOf(node: LabNode): Promise<Outcome> {
  const { probes, findings = [] } = await fetchStatus(node.pathFromOutside(SUBNET_FILE));
  if (probes === undefined) throw new Error(`${node.name} does not probe`);
  return { states: probes.states, findings: findings.map(({ id, evidence }) => `${id}: ${evidence}`) };
}
