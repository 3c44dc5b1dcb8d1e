// Starts the two ends of a ping-pong in their network namespaces.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { runCommand } from '../../test/lab/command.ts';
import { labPrograms } from '../../test/lab/programs.ts';
import type { PingPongResult, PingPongSpec } from './ping-pong.ts';

const CLIENT_MS = 20_000;

/** The command line of one end. `cpu` is the only processor it may run on. */
async function argv(netns: string, spec: PingPongSpec, cpu?: number): Promise<string[]> {
  const program = join(await labPrograms(), 'ping-pong.mjs');
  const pinned = cpu === undefined ? [] : ['taskset', '-c', `${cpu}`];
  return [...pinned, 'nsenter', `--net=${netns}`, '--', process.execPath, program, JSON.stringify(spec)];
}

/** Starts a server and resolves when it answers. It ends with this process. */
export async function startPingPongServer(netns: string, local: string, cpu?: number): Promise<{ stop(): void }> {
  const inside = ['--pdeathsig', 'KILL', '--', ...(await argv(netns, { role: 'server', local }, cpu))];
  const server = spawn('setpriv', inside, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  server.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ready = once(server.stdout, 'data').then(() => true);
  if (!(await Promise.race([ready, once(server, 'close').then(() => false)]))) {
    throw new Error(`the ping-pong server on ${local} ended: ${said.trim()}`);
  }
  return { stop: () => server.kill('SIGKILL') };
}

/** Runs a client. Rejects when it fails. */
export async function runPingPong(
  {
    netns,
    from,
    to,
    cpu,
  }: { readonly netns: string; readonly from: string; readonly to: string; readonly cpu?: number },
  milliseconds: number,
): Promise<PingPongResult> {
  const command = await argv(netns, { role: 'client', local: from, to, milliseconds }, cpu);
  const { exitCode, stdout, stderr } = await runCommand(command, { timeoutMs: CLIENT_MS });
  if (exitCode !== 0) throw new Error(`ping-pong: ${stderr.trim() || `exit ${exitCode}`}`);
  return JSON.parse(stdout) as PingPongResult;
}
