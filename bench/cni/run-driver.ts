// Starts the driver in namespaces of its own, gives it the plan, shows how far it is, and takes the results.

import { spawn } from 'node:child_process';
import type { Plan, PlanResult } from './plan.ts';

/** Rejects with the driver's last words when it does not end well. `label` says on the terminal what is measured. */
export function runDriver(driver: string, plan: Plan, label: string): Promise<PlanResult> {
  return new Promise((resolve, reject) => {
    const namespaces = ['--net', '--mount', '--propagation', 'private', '--', driver];
    const child = spawn('unshare', namespaces, { stdio: 'pipe' });
    const output: Buffer[] = [];
    let words = '';
    const show = progressLine(label, plan.steps.length);
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      words = `${words}${text}`.slice(-2000);
      const done = /^(\d+)$/m.exec(text)?.[1];
      if (done !== undefined) show(Number(done));
    });
    child.on('error', reject);
    child.on('close', (code) => {
      show(undefined);
      const said = Buffer.concat(output).toString('utf8');
      if (code === 0) resolve(JSON.parse(said) as PlanResult);
      else
        reject(
          new Error(`the driver ended with ${code}: ${words.replace(/^\d+\n/gm, '').trim() || said.slice(0, 300)}`),
        );
    });
    child.stdin.on('error', () => undefined); // it ended early, and said why
    child.stdin.end(JSON.stringify(plan));
  });
}

/** Redraws one line on a terminal, and takes it away at the end; elsewhere says once what begins. */
function progressLine(label: string, total: number): (done: number | undefined) => void {
  const { stderr } = process;
  const start = performance.now();
  if (!stderr.isTTY) stderr.write(`bench: ${label}: ${total} steps\n`);
  return (done) => {
    if (!stderr.isTTY) return;
    if (done === undefined) {
      stderr.write('\r\x1b[K');
      return;
    }
    const leftMs = done === 0 ? undefined : ((performance.now() - start) / done) * (total - done);
    const left = leftMs === undefined ? '' : `, ${Math.ceil(leftMs / 1000)} s left`;
    stderr.write(`\r\x1b[K${label}: ${done} of ${total}${left}`);
  };
}
