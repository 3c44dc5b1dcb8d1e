// Starts the driver in namespaces of its own, gives it the plan, shows its progress, and reads its results.

import { spawn } from 'node:child_process';
import type { Progress } from '../progress.ts';
import type { Plan, PlanResult } from './plan.ts';

/**
 * Rejects with the driver's last output when it fails. `label` says what is measured. `onStart` is called with the process
 * before it does anything.
 */
export function runDriver(
  { driver, progress }: { readonly driver: string; readonly progress: Progress },
  plan: Plan,
  label: string,
  onStart: (pid: number) => void = () => undefined,
): Promise<PlanResult> {
  return new Promise((resolve, reject) => {
    const namespaces = ['--net', '--mount', '--propagation', 'private', '--', driver];
    const child = spawn('unshare', namespaces, { stdio: 'pipe' });
    const output: Buffer[] = [];
    let words = '';
    progress.step(label, 0, plan.steps.length);
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      words = `${words}${text}`.slice(-2000);
      const done = /^(\d+)$/m.exec(text)?.[1];
      if (done !== undefined) progress.step(label, Number(done), plan.steps.length);
    });
    child.on('error', reject);
    child.on('close', (code) => {
      const said = Buffer.concat(output).toString('utf8');
      if (code === 0) resolve(JSON.parse(said) as PlanResult);
      else
        reject(
          new Error(`the driver ended with ${code}: ${words.replace(/^\d+\n/gm, '').trim() || said.slice(0, 300)}`),
        );
    });
    if (child.pid !== undefined) onStart(child.pid);
    child.stdin.on('error', () => undefined); // it ended early, and said why
    child.stdin.end(JSON.stringify(plan));
  });
}
