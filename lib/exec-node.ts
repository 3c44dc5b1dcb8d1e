// Runs programs for the agent: arguments are a list (never a shell line), input and output are text, there is a deadline, and an
// error contains what the program printed. The CNI executable uses lib/sys/process.ts for this.

import { type ChildProcess, spawn } from 'node:child_process';
import { errorText, OpError } from './errors.ts';

export interface ExecOptions {
  /** Written to the program's standard input, which is then closed. When absent, that is /dev/null. */
  readonly input?: string;
  /** The program is killed when it has not ended after this time. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** The program's whole environment; the agent's own when absent. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** `exec: nft -f -: exit 1 (…)`: the code is `exit N`, `signal NAME`, `timeout`, `ENOENT`, `output too large`. */
export class ExecError extends OpError {
  readonly stderr: string;

  constructor(argv: readonly string[], code: string, stderr: string, hint?: string) {
    const [program = '', ...rest] = argv;
    super({ subsystem: 'exec', op: program, object: rest.join(' '), code, detail: hint ?? firstLine(stderr) });
    this.name = 'ExecError';
    this.stderr = stderr;
  }
}

const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

function firstLine(text: string): string {
  return (text.trim().split('\n', 1)[0] ?? '').slice(0, 300);
}

/** Runs `argv` and returns its output when it exits with 0. Rejects with ExecError otherwise. */
export function execProgram(argv: readonly [string, ...string[]], options: ExecOptions): Promise<ExecResult> {
  const [program, ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = startProgram(argv, program, args, options);
    let failed: string | undefined;
    const kill = (code: string): void => {
      failed ??= code;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(() => kill('timeout'), options.timeoutMs);
    const onAbort = (): void => kill('aborted');
    options.signal?.addEventListener('abort', onAbort);
    const stdout = collect(child.stdout, () => kill('output too large'));
    const stderr = collect(child.stderr, () => kill('output too large'));
    const settle = (code: string | undefined, hint?: string): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      if (code === undefined) resolve({ stdout: stdout(), stderr: stderr() });
      else reject(new ExecError(argv, code, stderr(), hint));
    };
    child.once('error', (error: NodeJS.ErrnoException) => {
      settle(error.code ?? 'error', error.code === 'ENOENT' ? `${program} is not installed` : error.message);
    });
    child.once('close', (exit, signal) => {
      const code = exit === 0 ? undefined : exit === null ? `signal ${signal}` : `exit ${exit}`;
      settle(failed ?? code);
    });
    if (options.signal?.aborted === true) kill('aborted');
    // When a program ends without reading its input, its exit code counts, and not the EPIPE of our write.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input);
  });
}

/** Starts the process. When it cannot be started, its streams are missing and its `error` event says why. Throws ExecError. */
function startProgram(
  argv: readonly string[],
  program: string,
  args: readonly string[],
  { env, input }: ExecOptions,
): ChildProcess {
  try {
    const stdin = input === undefined ? 'ignore' : 'pipe';
    return spawn(program, args, { stdio: [stdin, 'pipe', 'pipe'], ...(env !== undefined && { env }) });
  } catch (error) {
    // Node throws some errors of starting a process, such as ENOMEM, and reports the others by an event.
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'error';
    throw new ExecError(argv, code, '', errorText(error));
  }
}

function collect(stream: NodeJS.ReadableStream | null | undefined, onTooMuch: () => void): () => string {
  const chunks: Buffer[] = [];
  let length = 0;
  stream?.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > MAX_OUTPUT_BYTES) onTooMuch();
    else chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
