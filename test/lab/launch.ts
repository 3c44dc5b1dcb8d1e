// Starts, reaches and ends a lab's first process, from the owner's side.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { OpError } from '../../lib/errors.ts';
import { HOST_SOCKET, type HostMethods } from './contract.ts';
import { endNamespaces, firstInside, startInNamespaces } from './namespace-process.ts';
import { type ProcessId, processId } from './processes.ts';
import { labPrograms } from './programs.ts';
import { forgetDeadLabs, forgetLab, labTitle, recordLab } from './registry.ts';
import { connectRpc, type RpcClient } from './rpc.ts';

/** The descriptors of the host program, as in host/main.ts. */
const READY_FD = 3;
const OWNER_FD = 4;

/** A running lab: its first process and the way to talk to it. */
export interface LabHost {
  readonly name: string;
  readonly init: ProcessId;
  readonly rpc: RpcClient<HostMethods>;
}

/** The labs that this process has started and not released, including those that are still starting. */
const owned = new Map<string, ChildProcess>();

/**
 * Starts the process of a lab. It and all processes below it end with this process: by pdeathsig, or, when the lab can be kept,
 * because the pipe that it watches closes.
 */
export async function launchLab(name: string, keepable: boolean): Promise<LabHost> {
  const owner = processId(process.pid);
  if (owner === undefined) throw launchError(name, 'ENOENT', 'no /proc');
  const program = join(await labPrograms(), 'host.mjs');
  const child = startInNamespaces({
    namespaces: ['mount', 'net', 'pid'],
    title: labTitle(name, owner),
    argv: [process.execPath, program, name],
    diesWithParent: !keepable,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
  });
  owned.set(name, child);
  await readyLine(child, name);
  const init = firstInside(child);
  if (init === undefined) throw launchError(name, 'ended', '');
  return { name, init, rpc: await reachHost(name, init) };
}

export async function reachHost(name: string, init: ProcessId): Promise<RpcClient<HostMethods>> {
  return await connectRpc<HostMethods>(`/proc/${init.pid}/root${HOST_SOCKET}`, `lab ${name}`);
}

/** Lets the lab survive this process from now on. It is recorded for `npm run lab`. */
export async function releaseLab(host: LabHost): Promise<void> {
  recordLab({ name: host.name, init: host.init, created: new Date().toISOString() });
  await host.rpc.call('release', null);
  const child = owned.get(host.name);
  for (const stream of child?.stdio ?? []) if (stream instanceof Socket) stream.destroy();
  child?.unref();
  owned.delete(host.name);
}

/** Ends a lab, whoever started it, and waits for the end of its last process. */
export async function endLab(host: LabHost): Promise<void> {
  await endNamespaces(host.init);
  await endOwned(host.name);
  host.rpc.close();
  forgetLab(host.name);
}

/**
 * Ends every lab that this process has started and not released, including those that are still starting. A signal handler calls
 * this.
 */
export async function endOwnedLabs(): Promise<void> {
  await Promise.all([...owned.keys()].map(endOwned));
  // A lab that is interrupted while it is being kept is recorded already.
  forgetDeadLabs();
}

async function endOwned(name: string): Promise<void> {
  const child = owned.get(name);
  if (child === undefined) return;
  const closed = hasEnded(child) ? undefined : once(child, 'exit');
  const first = firstInside(child);
  // As long as there is no first process inside, unshare has no child that could survive it.
  if (first === undefined) child.kill('SIGKILL');
  else await endNamespaces(first);
  await closed;
  owned.delete(name);
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** Resolves when the host program reports that it is ready. Rejects with what the program printed when it ends instead. */
async function readyLine(child: ChildProcess, name: string): Promise<void> {
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = `${said}${chunk.toString()}`.slice(-4000);
  });
  const [ready, alive] = [child.stdio[READY_FD], child.stdio[OWNER_FD]];
  if (!(ready instanceof Socket) || !(alive instanceof Socket)) throw launchError(name, 'EBADF', 'no pipe');
  alive.on('error', () => alive.destroy());
  const started = once(ready, 'data').then(() => 'ready');
  const ended = once(child, 'close').then(() => 'ended');
  if ((await Promise.race([started, ended])) === 'ended') throw launchError(name, 'ended', said.trim());
}

function launchError(name: string, code: string, detail: string): OpError {
  return new OpError({ subsystem: 'lab', op: 'start', object: `lab ${name}`, code, detail });
}
