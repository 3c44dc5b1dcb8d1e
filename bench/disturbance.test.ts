import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { describeLoad, othersLoad, readTimes, type Times } from './disturbance.ts';

const before: Times = { atMs: 0, busy: 1000, stolen: 50, kernelThreads: 100, own: 200 };

test('time that is neither ours nor the kernel’s belongs to other programs', () => {
  // In two seconds programs and kernel threads used 3 s of processor time: kernel threads 0.2 s, this process 0.8 s. 1 s was stolen.
  const after: Times = { atMs: 2000, busy: 1300, stolen: 150, kernelThreads: 120, own: 280 };
  const { others, stolen } = othersLoad(before, after);
  expect(others).toBeCloseTo(1);
  expect(stolen).toBeCloseTo(0.5);
});

test('rounding of clock ticks is no load', () => {
  expect(othersLoad(before, { ...before, atMs: 100, own: 201 }).others).toBe(0);
});

test('a quiet machine prints nothing, a busy one is called disturbed', () => {
  expect(describeLoad({ others: 0.1, stolen: 0 })).toEqual([]);
  expect(describeLoad({ others: 0.97, stolen: 0.5 })).toEqual([
    'DISTURBED: other programs had 1.0 processors meanwhile',
    'DISTURBED: the hypervisor gave 0.5 processors to others meanwhile',
  ]);
});

test('reads the kernel’s counters', () => {
  const { busy, own, kernelThreads } = readTimes();
  expect(busy).toBeGreaterThan(own);
  expect(own).toBeGreaterThan(0);
  expect(kernelThreads).toBeLessThan(busy);
});

/** A program that runs until it has used 0.2 s of processor time, however long that takes. */
const BURN = `const start = process.cpuUsage(); while (process.cpuUsage(start).user < 200_000);`;

test('time of this process and its children is ours', () => {
  const from = readTimes();
  const start = process.cpuUsage();
  while (process.cpuUsage(start).user < 200_000);
  const middle = readTimes();
  spawnSync(process.execPath, ['-e', BURN]);
  const end = readTimes();
  expect(middle.own - from.own).toBeGreaterThanOrEqual(15);
  expect(end.own - middle.own).toBeGreaterThanOrEqual(15);
}, 60_000);
