// Runs a program and collects what it printed.

import { type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { OpError } from '../../lib/errors.ts';
import { slowed } from '../support/slowness.ts';

export interface CommandOptions {
  readonly input?: string | undefined;
  /** The program gets exactly these variables. When absent, it gets those of this process. */
  readonly env?: Record<string, string> | undefined;
  readonly cwd?: string | undefined;
  /** The program gets SIGKILL after this time. */
  readonly timeoutMs?: number | undefined;
}

export interface CommandResult {
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Times of CLOCK_MONOTONIC in nanoseconds: just before the program was started, and when its last output had been read. */
  readonly startNs: number;
  readonly endNs: number;
}

/** Resolves whatever the exit code is. Rejects with an OpError when the program cannot be started. */
export async function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [file = '', ...args] = argv;
  const startNs = monotonicNs();
  const child = spawn(file, args, { ...spawnOptions(options), stdio: 'pipe' });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  // A program may end without reading its input.
  child.stdin.on('error', () => child.stdin.destroy());
  child.stdin.end(options.input ?? '');
  try {
    const [exitCode, signal] = (await once(child, 'close')) as [number | null, string | null];
    const endNs = monotonicNs();
    return { exitCode, signal, stdout: text(stdout), stderr: text(stderr), startNs, endNs };
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    throw new OpError({ subsystem: 'exec', op: 'start', object: file, code, cause });
  }
}

/** Like runCommand, but any exit code other than 0 is an OpError with what the program printed. Resolves with its stdout. */
export async function mustRun(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await runCommand(argv, options);
  if (result.exitCode === 0) return result.stdout;
  const code = result.exitCode === null ? (result.signal ?? 'killed') : `exit ${result.exitCode}`;
  const detail = (result.stderr.trim() || result.stdout.trim()).replaceAll('\n', '; ');
  throw new OpError({ subsystem: 'exec', op: 'run', object: argv.join(' '), code, detail });
}

/** CLOCK_MONOTONIC in nanoseconds. This clock is the same in every namespace of the machine. */
export function monotonicNs(): number {
  return Number(process.hrtime.bigint());
}

function spawnOptions({ env, cwd, timeoutMs }: CommandOptions): SpawnOptions {
  return {
    ...(env === undefined ? {} : { env }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(timeoutMs === undefined ? {} : { timeout: slowed(timeoutMs), killSignal: 'SIGKILL' }),
  };
}

function text(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString('utf8');
}
