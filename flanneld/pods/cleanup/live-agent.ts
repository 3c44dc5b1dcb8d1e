// Finds the agent that runs on this node: by the socket beside subnet.env, which also finds an agent in a container, and among the
// processes of this network namespace, which also finds an agent without a socket.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { steadyMs } from '../../../lib/clock-node.ts';
import { errorText, OpError } from '../../../lib/errors.ts';
import type { Syscalls } from '../../../lib/sys/syscalls.ts';
import { listenerAt } from '../../../lib/sys/unix-socket.ts';
import { askToStop } from '../../health/status/client.ts';
import { socketPathFor } from '../../health/status/socket.ts';
import { agentProcesses } from '../agent-processes.ts';

interface LiveAgent {
  /** Undefined when the agent is in another PID namespace (a container) that this process cannot see. */
  readonly pid: number | undefined;
  /** How it was found, for messages. */
  readonly what: string;
}

/** How long to wait for its end: an agent ends within five seconds of SIGTERM. */
const END_MS = 7000;
const LOOK_MS = 50;
/** If an agent runs here, ends it with `force`; without `force` rejects with OpError before anything is changed. */
export async function makeWay(
  sys: Syscalls,
  subnetFile: string,
  force: boolean,
  write: (line: string) => void,
): Promise<void> {
  const agent = findAgent(sys, subnetFile);
  if (agent === undefined) return;
  if (!force) throw running(agent, 'it would put everything back: stop the agent first, or use --force, which ends it');
  write(`ending the agent: ${agent.what}`);
  await endAgent(sys, subnetFile, agent);
}

/** Throws OpError when an agent runs again. */
export function expectNoAgent(sys: Syscalls, subnetFile: string): void {
  const agent = findAgent(sys, subnetFile);
  if (agent === undefined) return;
  throw running(
    agent,
    'it was started meanwhile: stop what starts it (systemctl stop flanneld, or delete the DaemonSet)',
  );
}

function running({ what }: LiveAgent, detail: string): OpError {
  return new OpError({
    subsystem: 'cleanup',
    op: 'use',
    object: 'this node',
    code: `an agent runs on this node (${what})`,
    detail,
  });
}

/** Returns undefined when none runs. Throws OpError when it cannot find out. */
function findAgent(sys: Syscalls, subnetFile: string): LiveAgent | undefined {
  const path = socketPathFor(subnetFile);
  const listener = listenerAt(sys, path);
  if (listener !== undefined && listener > 0)
    return { pid: listener, what: `process ${listener}, which listens at ${path}` };
  const pid = agentProcesses()[0]?.pid;
  if (pid !== undefined) return { pid, what: `process ${pid}` };
  return listener === undefined
    ? undefined
    : { pid: undefined, what: `the process that listens at ${path}, in another container` };
}

/** Ends the agent as SIGTERM does and waits; kills it if that does not help. Rejects with OpError when it still runs. */
async function endAgent(sys: Syscalls, subnetFile: string, { pid, what }: LiveAgent): Promise<void> {
  const isGone = pid === undefined ? () => findAgent(sys, subnetFile) === undefined : () => !isAlive(pid);
  const ended = async (): Promise<boolean> => {
    for (const until = steadyMs() + END_MS; steadyMs() < until; await sleep(LOOK_MS)) {
      if (isGone()) return true;
    }
    return isGone();
  };
  try {
    if (pid === undefined) await askToStop(subnetFile);
    else process.kill(pid, 'SIGTERM');
    if (await ended()) return;
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    if (pid !== undefined && (await ended())) return;
  } catch (error) {
    if (isGone()) return;
    throw stays(what, errorText(error));
  }
  throw stays(what, 'it does not end; stop what started it');
}

function stays(object: string, detail: string): OpError {
  return new OpError({ subsystem: 'cleanup', op: 'end agent', object, code: 'still there', detail });
}

/** Whether the process runs; one that has ended but was not waited for (a zombie) does not. */
function isAlive(pid: number): boolean {
  const state = /^State:\s*(\S)/m.exec(read(`/proc/${pid}/status`))?.[1];
  return state !== undefined && state !== 'Z' && state !== 'X';
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process has ended since it was listed.
    return '';
  }
}
