// Two lab nodes that are joined by one pair of devices. Their agents can be started with each kind of fast path, or without one.

import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FAST_PATH_MODES } from '../../flanneld/cli/options.ts';
import { mustRun } from '../../test/lab/command.ts';
import { type Lab, startLab } from '../../test/lab/lab.ts';
import type { LabNode } from '../../test/lab/lab-node.ts';
import type { LabPod } from '../../test/lab/lab-pod.ts';
import { builtAgent } from '../../test/lab/programs.ts';
import { statusReport } from '../../test/lab/support/status.ts';

type FastMode = Exclude<(typeof FAST_PATH_MODES)[number], 'off'>;
/** The way that pods' packets take. */
export type Way = 'classic' | FastMode;
export const fastModes = FAST_PATH_MODES.filter((mode) => mode !== 'off') as readonly FastMode[];

const MODE_FILE = '/run/lab/fast-path';
const READY_MS = 20_000;
const LOOK_MS = 50;

export interface Site {
  readonly lab: Lab;
  readonly nodes: readonly [LabNode, LabNode];
  /** The pods: two on the first node, one on the second. */
  readonly near: readonly [LabPod, LabPod];
  readonly far: LabPod;
}

export const netnsOf = ({ pid }: LabNode): string => `/proc/${pid}/ns/net`;

/** `folder` is for the program that starts the agents. */
export async function startSite(folder: string): Promise<Site> {
  const file = join(folder, 'flanneld');
  writeFileSync(file, `#!/bin/sh\nexec ${builtAgent} "$@" --fast-path=$(cat ${MODE_FILE} 2>/dev/null || echo off)\n`);
  chmodSync(file, 0o755);
  const lab = await startLab({ nodes: 2, agent: { file, start: false } });
  try {
    const [a, b] = lab.nodes;
    if (a === undefined || b === undefined) throw new Error('the fast path needs two nodes');
    await wire(a, b);
    for (const node of lab.nodes) {
      await node.run(['mount', '-t', 'bpf', 'bpf', '/sys/fs/bpf']);
      await node.agent.start();
    }
    for (const node of lab.nodes) await node.agent.ready();
    const site = {
      lab,
      nodes: [a, b] as const,
      near: [await a.addPod(), await a.addPod()] as const,
      far: await b.addPod(),
    };
    await site.near[0].ping([site.far.ip, site.near[1].ip]);
    return site;
  } catch (error) {
    await lab.down();
    throw error;
  }
}

/** One pair of devices in place of the lab's switch, so that no frame passes a bridge between the nodes. */
async function wire(a: LabNode, b: LabNode): Promise<void> {
  for (const node of [a, b]) await node.run(['ip', 'link', 'del', 'eth0']);
  const pair = ['eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `${b.pid}`];
  await mustRun(['nsenter', `--net=${netnsOf(a)}`, 'ip', 'link', 'add', ...pair]);
  for (const node of [a, b]) {
    await node.run(['ip', 'address', 'add', `${node.address}/24`, 'dev', 'eth0']);
    await node.run(['ip', 'link', 'set', 'eth0', 'up']);
  }
}

/** Starts both agents again, and resolves when pods' packets take that way. */
export async function setWay({ nodes }: Site, way: Way): Promise<void> {
  await Promise.all(
    nodes.map(async (node) => {
      await node.agent.stop();
      node.writeFile(MODE_FILE, way === 'classic' ? 'off' : way);
      await node.agent.start();
      await node.agent.ready();
      await untilWay(node, way);
    }),
  );
}

async function untilWay(node: LabNode, way: Way): Promise<void> {
  const end = performance.now() + READY_MS;
  for (;;) {
    const { fastPath } = await statusReport(node);
    if (way === 'classic' && fastPath === undefined) return;
    if (fastPath?.mode === way && fastPath.on && fastPath.pods === node.pods.length && fastPath.peers === 1) return;
    if (performance.now() > end) throw new Error(`${node.name}: not ${way}: ${fastPath?.reason ?? 'no fast path'}`);
    await sleep(LOOK_MS);
  }
}
