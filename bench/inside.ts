// Measures a part in a process of its own, inside new namespaces. That process runs this same program and sends its progress
// and its result over Node's IPC channel.

import { spawn } from 'node:child_process';
import type { BenchOptions } from './options.ts';
import type { Progress } from './progress.ts';
import type { PartResult } from './result.ts';

const INSIDE = 'WEFT_BENCH_INSIDE';

type Message =
  | { readonly step: readonly [label: string, done: number, total: number] }
  | { readonly result: PartResult }
  | { readonly error: string };

/** Whether this process is the inner one. */
export function isInside(): boolean {
  return process.env[INSIDE] !== undefined;
}

/**
 * Measures the part `name` in a network namespace of its own. The inner process ends when this one does. Rejects with the
 * inner process's error, or when it ended without a result.
 */
export function measureInside(name: string, options: BenchOptions, progress: Progress): Promise<PartResult> {
  const [node, ...rest] = [process.execPath, ...process.execArgv, ...process.argv.slice(1, 2)];
  const wrapped = ['--pdeathsig', 'TERM', '--', 'unshare', '--net', '--', node ?? '', ...rest];
  const child = spawn('setpriv', wrapped, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [INSIDE]: JSON.stringify({ name, options }) },
  });
  return new Promise((resolve, reject) => {
    let result: PartResult | undefined;
    let error = '';
    child.on('message', (message) => {
      const said = message as Message;
      if ('step' in said) progress.step(...said.step);
      else if ('result' in said) result = said.result;
      else error = said.error;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (result === undefined) reject(new Error(error || `${name} ended with ${signal ?? code} and no result`));
      else resolve(result);
    });
  });
}

/** Runs in the inner process: measures the one of these parts that it was asked for. */
export async function serveInside(
  measure: (name: string, options: BenchOptions, progress: Progress) => Promise<PartResult>,
): Promise<void> {
  const { name, options } = JSON.parse(process.env[INSIDE] ?? '{}') as { name: string; options: BenchOptions };
  const progress: Progress = { step: (...step) => void send({ step }) };
  const answer: Message = await measure(name, options, progress).then(
    (result) => ({ result }),
    (error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }),
  );
  await send(answer);
  process.disconnect?.();
}

function send(message: Message): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) resolve();
    else process.send(message, () => resolve());
  });
}
