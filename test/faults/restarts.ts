// The agent is killed, restarted or upgraded. None of this may lose a packet or remove anything that is wanted.

import { setTimeout as sleep } from 'node:timers/promises';
import { logLines } from './agent-process.ts';
import { KernelMonitor, removals } from './kernel-monitor.ts';
import { DEVICE } from './node-check.ts';
import type { Round } from './rounds.ts';
import type { Site } from './site.ts';
import type { TwoBuilds } from './two-builds.ts';

const DEAD_MS = 5000;
const WHOLE_TIMEOUT_MS = 5000;
/** After this time the agent has checked everything, including what woke it up. */
const AFTER_MS = 500;

export interface Restart {
  readonly name: string;
  readonly what: string;
  happen(site: Site, builds: TwoBuilds): Promise<void>;
}

export const restarts: readonly Restart[] = [
  {
    name: 'killed',
    what: `kill -9, dead for ${DEAD_MS / 1000} s, started again`,
    async happen({ node }) {
      await node.agent.kill();
      await sleep(DEAD_MS);
      await node.agent.start();
    },
  },
  {
    name: 'restarted',
    what: 'SIGTERM, started again',
    async happen({ node }) {
      await node.agent.stop();
      await node.agent.start();
    },
  },
  {
    name: 'upgraded',
    what: 'SIGTERM, another build started',
    async happen({ node }, builds) {
      const before = builds.version();
      builds.swap();
      if (builds.version() === before) throw new Error(`both builds are ${before}`);
      await node.agent.stop();
      await node.agent.start();
    },
  },
];

export interface RestartRound extends Round {
  /** What the monitors saw removed from the device, its peers or the firewall. */
  readonly removed: readonly string[];
  /** The number of all changes that they saw there. */
  readonly changed: number;
}

/** Restarts the agent once under a flow. Rejects when the agent that runs afterwards is not the installed one. */
export async function restartRound(site: Site, builds: TwoBuilds, restart: Restart): Promise<RestartRound> {
  const monitor = await KernelMonitor.start(site.node);
  const flow = await site.flow('pods');
  try {
    const startMs = performance.now();
    await restart.happen(site, builds);
    await site.node.agent.ready();
    await site.untilWhole(WHOLE_TIMEOUT_MS);
    const healedMs = performance.now() - startMs;
    await sleep(AFTER_MS);
    const { lostAtMost, ownGapMs } = await flow.stop();
    checkVersion(site, builds);
    const lines = await monitor.stop([DEVICE, site.peer.subnet, site.peer.mac, `id ${site.peer.nexthopId}`, 'ip weft']);
    return { lost: lostAtMost, healedMs, ownGapMs, agentWaitMs: 0, removed: removals(lines), changed: lines.length };
  } finally {
    await flow.abandon();
    await monitor.abandon();
  }
}

function checkVersion(site: Site, builds: TwoBuilds): void {
  const runs = logLines(site.node).findLast(({ msg }) => msg === 'starting')?.['version'];
  if (!builds.version().includes(String(runs))) throw new Error(`${runs} runs, ${builds.version()} is installed`);
}

/** Removes a route, which the agent restores. Rejects when the monitors did not report the removal. */
export async function checkWitnesses(site: Site): Promise<void> {
  const monitor = await KernelMonitor.start(site.node);
  try {
    await site.ip(`route del ${site.peer.subnet}`);
    await site.bridge('fdb', 'del', site.peer.mac, 'dev', site.device, 'dst', site.peer.address, 'self');
    await site.nft('delete table ip weft\n');
    await site.untilWhole(WHOLE_TIMEOUT_MS);
    const seen = removals(await monitor.stop([site.peer.subnet, site.peer.mac, 'ip weft']));
    for (const what of [site.peer.subnet, site.peer.mac, 'table ip weft']) {
      if (!seen.some((line) => line.includes(what)))
        throw new Error(`no witness saw ${what} go, only ${seen.join('; ')}`);
    }
  } finally {
    await monitor.abandon();
  }
}
