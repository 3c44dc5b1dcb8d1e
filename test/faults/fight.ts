// A foreign program rewrites a peer's route every 100 ms. The agent must repair the route at a limited rate, must not spin, and must log
// the route it finds in place of its own, so that an operator can find out who writes it.

import { setTimeout as sleep } from 'node:timers/promises';
import { UNDERLAY_DEVICE } from '../lab/contract.ts';
import { UNDERLAY_GATEWAY } from '../lab/host/underlay.ts';
import { agentPid, cpuMs, type LogLine, logLength, logLines } from './agent-process.ts';
import type { Site } from './site.ts';

const SECONDS = 10;
const EVERY_MS = 100;
/** The agent makes five repairs at once, then one a second (flanneld/dataplane/repair-budget.ts). The last follows the rival's end. */
const REPAIRS_AT_ONCE = 5;
/** The agent's limit as a percentage of one processor, while the other program causes ten events a second. */
const MAX_CPU_PERCENT = 5;
const RESTORE_TIMEOUT_MS = 5000;

export interface Fight {
  /** How long the rival program ran. */
  readonly durationMs: number;
  readonly rewrites: number;
  readonly repairs: number;
  readonly cpuPercent: number;
  readonly warnings: number;
  /** The rival's route as the agent's log describes it. */
  readonly rival: string;
  /** The time from the rival's end until the node was right again. */
  readonly restoredMs: number;
}

export async function fight(site: Site): Promise<Fight> {
  const { node } = site;
  const pid = await agentPid(node);
  const from = logLength(node);
  const [startMs, startCpuMs] = [performance.now(), cpuMs(pid)];
  const rewrites = (SECONDS * 1000) / EVERY_MS;
  const rival = `route replace ${site.peer.subnet} via ${UNDERLAY_GATEWAY} dev ${UNDERLAY_DEVICE} proto static`;
  const loop = `i=0; while [ $i -lt ${rewrites} ]; do ip ${rival}; sleep ${EVERY_MS / 1000}; i=$((i + 1)); done`;
  await node.run(['sh', '-c', loop]);
  const endMs = performance.now();
  const durationMs = endMs - startMs;
  const cpuPercent = (100 * (cpuMs(pid) - startCpuMs)) / durationMs;
  await site.untilWhole(RESTORE_TIMEOUT_MS);
  const restoredMs = performance.now() - endMs;
  // The agent writes its last log lines after its last change.
  await sleep(100);
  const lines = logLines(node, from);
  const warnings = lines.filter(
    (line) => line.level === 'warn' && line.msg.startsWith('another program keeps changing'),
  );
  return {
    durationMs,
    rewrites,
    repairs: lines.filter(({ msg }) => msg === 'peer repaired').length,
    cpuPercent,
    warnings: warnings.length,
    rival: rivalOf(warnings),
    restoredMs,
  };
}

function rivalOf(warnings: readonly LogLine[]): string {
  return String(warnings.map(({ route }) => route).find((route) => route !== undefined) ?? '');
}

/** What the agent did wrong in the fight; empty when nothing. */
export function judgeFight({ durationMs, repairs, cpuPercent, warnings, rival }: Fight): string[] {
  const wrong: string[] = [];
  const seconds = durationMs / 1000;
  const most = REPAIRS_AT_ONCE + Math.ceil(seconds) + 1;
  if (repairs > most) wrong.push(`${repairs} repairs in ${seconds.toFixed(1)} s, limit ${most}`);
  if (repairs === 0) wrong.push('no repair at all');
  if (cpuPercent > MAX_CPU_PERCENT) wrong.push(`${cpuPercent.toFixed(1)} % of a processor, limit ${MAX_CPU_PERCENT}`);
  if (warnings === 0) wrong.push('the log does not say that another program keeps changing the route');
  // Protocol 4 is `static` (rtnetlink(7)).
  if (!/dev eth0 proto (4|static)$/.test(rival)) wrong.push(`the log does not tell the rival's route, only "${rival}"`);
  return wrong;
}
