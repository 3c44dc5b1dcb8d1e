// Tests what a person sees who interrupts a script: that it removes its things, and no errors that the removal causes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** A script whose step fails as soon as the clean-up removes what the step works on, as a call to a lab's node does. */
const SCRIPT = `
  import { endInOrder } from '${join(import.meta.dirname, 'owner.mjs')}';
  import { createProgress } from '${join(import.meta.dirname, 'progress.mjs')}';
  let remove;
  const removed = new Promise((resolve, reject) => (remove = () => reject(new Error('node-1 is gone'))));
  const clean = async () => {
    remove();
    await new Promise((resolve) => setTimeout(resolve, 50));
    return 'nothing is left';
  };
  const hold = endInOrder(clean);
  const unlessInterrupted = CASE === 'without' ? (work) => work : hold;
  const progress = createProgress(unlessInterrupted);
  const work = async () => {
    const step = progress.step('pods', () => removed);
    process.stdout.write('working\\n');
    if (CASE === 'fails') remove();
    else setTimeout(() => undefined, 10_000);
    await step;
  };
  try {
    await unlessInterrupted(work());
  } catch (error) {
    process.stderr.write(error.message + '\\n');
    process.exitCode = 1;
  }
`;

async function ended(name: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const script = `const CASE = '${name}';${SCRIPT}`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout.on('data', (chunk: Buffer) => {
    if (stdout === '' && name !== 'fails') child.kill('SIGINT');
    stdout += chunk.toString();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

test('an error that follows from the interruption is not printed', async () => {
  expect(await ended('interrupted')).toEqual({
    code: 130,
    stdout: 'working\n',
    stderr: '\nCtrl-C: removing what was started…\nnothing is left\n',
  });
});

test('control: without waiting it would be printed', async () => {
  const { stdout, stderr } = await ended('without');
  expect(stdout).toMatch(/✗ pods +failed/);
  expect(stderr).toBe('\nCtrl-C: removing what was started…\nnode-1 is gone\nnothing is left\n');
});

test('an error without an interruption is printed and sets the exit code', async () => {
  const { code, stdout, stderr } = await ended('fails');
  expect(stdout).toMatch(/✗ pods +failed/);
  expect({ code, stderr }).toEqual({ code: 1, stderr: 'node-1 is gone\n' });
});
