import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import {
  childrenOf,
  commandLine,
  descendantsOf,
  isAlive,
  parentOf,
  processId,
  waitGone,
  waitUntil,
} from './processes.ts';

function sleeper(): { pid: number; kill: () => void; gone: Promise<unknown> } {
  const child = spawn('sleep', ['60']);
  onTestFinished(() => void child.kill('SIGKILL'));
  return { pid: child.pid ?? 0, kill: () => child.kill('SIGKILL'), gone: once(child, 'exit') };
}

test('a process is alive until it ends, and a later process with the same pid is another process', async () => {
  const { pid, kill, gone } = sleeper();
  const id = processId(pid);
  if (id === undefined) throw new Error('no such process');
  expect(isAlive(id)).toBe(true);
  expect(isAlive({ ...id, startTime: id.startTime - 1 })).toBe(false);
  kill();
  await gone;
  expect(isAlive(id)).toBe(false);
  await waitGone(id, 1000);
  expect(processId(pid)).toBeUndefined();
});

test('a zombie is not alive', async () => {
  // The shell never waits for its child, so the child becomes a zombie.
  const shell = spawn('sh', ['-c', 'true & exec sleep 60']);
  onTestFinished(() => void shell.kill('SIGKILL'));
  let zombie: number | undefined;
  await waitUntil(
    () => {
      zombie = childrenOf(shell.pid ?? 0)[0];
      return zombie !== undefined && commandLine(zombie)?.length === 0;
    },
    5000,
    'zombie',
  );
  const id = processId(zombie ?? 0);
  if (id === undefined) throw new Error('no zombie');
  expect(isAlive(id)).toBe(false);
});

test('parents and children', async () => {
  const { pid } = sleeper();
  await waitUntil(() => commandLine(pid)?.[0] === 'sleep', 5000, 'exec');
  expect(parentOf(pid)).toBe(process.pid);
  expect(childrenOf(process.pid)).toContain(pid);
  expect(descendantsOf(process.pid)).toContain(pid);
  expect(commandLine(pid)).toEqual(['sleep', '60']);
});

test('waitUntil says what it waited for', async () => {
  await expect(waitUntil(() => false, 20, 'rain')).rejects.toThrow('lab: wait for rain: ETIMEDOUT (20 ms)');
  await expect(waitUntil(() => Promise.resolve(true), 0, 'nothing')).resolves.toBeUndefined();
});
