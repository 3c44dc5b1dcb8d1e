import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { loopGapProgram } from './loop-gap.ts';

/** A program that blocks its event loop for 120 ms whenever it is told to. */
const BLOCKING = `
process.stdin.on('data', () => {
  const end = performance.now() + 120;
  while (performance.now() < end);
  process.stdout.write('blocked\\n');
});
process.stdout.write('up\\n');
`;

test('measures how long a program blocks its event loop', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-gap-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const [watcher, seen] = [join(folder, 'watcher.cjs'), join(folder, 'seen.json')];
  writeFileSync(watcher, loopGapProgram(seen));
  const child = spawn(process.execPath, ['--require', watcher, '-e', BLOCKING], { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  child.kill('SIGUSR2');
  await sleep(30);
  child.stdin.write('block\n');
  await once(child.stdout, 'data');
  await sleep(30);
  child.kill('SIGUSR2');
  while (!existsSync(seen)) await sleep(5);
  const { longest, longestOwn, ticks } = JSON.parse(readFileSync(seen, 'utf8'));
  expect(longest).toBeGreaterThanOrEqual(119);
  // Only the time in which the thread waited for a processor may be subtracted.
  expect(longestOwn).toBeLessThanOrEqual(longest);
  expect(longestOwn).toBeGreaterThan(0);
  expect(ticks).toBeGreaterThan(0);
});
