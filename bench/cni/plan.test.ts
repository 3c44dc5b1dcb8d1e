import { describe, expect, test } from 'vitest';
import { burstSteps, containerId, dueMs, pairSteps, rotated } from './plan.ts';

describe('rotated', () => {
  test.for([
    { name: 'as it is in round 0', round: 0, want: ['a', 'b', 'c'] },
    { name: 'with the second first in round 1', round: 1, want: ['b', 'c', 'a'] },
    { name: 'as in round 1 in round 4', round: 4, want: ['b', 'c', 'a'] },
  ])('is $name', ({ round, want }) => {
    expect(rotated(['a', 'b', 'c'], round)).toEqual(want);
  });

  test('of an empty list is empty', () => {
    expect(rotated([], 3)).toEqual([]);
  });
});

describe('containerId', () => {
  test('has 64 hexadecimal digits', () => {
    expect(containerId(0)).toMatch(/^[0-9a-f]{64}$/);
  });

  test('differs for every number', () => {
    const ids = Array.from({ length: 20_000 }, (_, number) => containerId(number));
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('pairSteps', () => {
  const steps = pairSteps(3, 4, 60);

  test('every variant does the same number of ADDs and DELs', () => {
    for (const variant of [0, 1, 2]) {
      const own = steps.filter((step) => step.variant === variant);
      expect(own.map(({ command }) => command)).toEqual(Array.from({ length: 4 }, () => ['ADD', 'DEL']).flat());
    }
  });

  test('a DEL is for the attachment its ADD made', () => {
    for (let at = 0; at < steps.length; at += 2) expect(steps[at + 1]?.attachment).toBe(steps[at]?.attachment);
  });

  test('each variant comes first once, and once after each other one', () => {
    const order = steps.filter(({ command }) => command === 'ADD').map(({ variant }) => variant);
    expect(order).toEqual([0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2]);
  });

  test('no two attachments share a container', () => {
    const ids = new Set(steps.map(({ attachment }) => attachment.containerId));
    expect(ids.size).toBe(steps.length / 2);
  });
});

test('burstSteps attaches every pod before it detaches every pod', () => {
  const steps = burstSteps(2, 2, { pods: 3, workers: 8, pauseMs: 0 });
  expect(steps.map(({ variant, command }) => `${command} ${variant}`)).toEqual([
    'ADD 0',
    'DEL 0',
    'ADD 1',
    'DEL 1',
    'ADD 1',
    'DEL 1',
    'ADD 0',
    'DEL 0',
  ]);
  expect(steps[0]?.attachments.map(({ pod }) => pod)).toEqual([0, 1, 2]);
  expect(steps[1]?.attachments).toBe(steps[0]?.attachments);
  const ids = steps.filter(({ command }) => command === 'ADD').flatMap(({ attachments }) => attachments);
  expect(new Set(ids.map((attachment) => attachment.containerId)).size).toBe(12);
});

test('burstSteps paces ADDs and DELs', () => {
  const steps = burstSteps(1, 1, { pods: 2, workers: 2, pauseMs: 0, everyMs: 50 });
  expect(steps.map(({ command, everyMs }) => ({ command, everyMs }))).toEqual([
    { command: 'ADD', everyMs: 50 },
    { command: 'DEL', everyMs: 50 },
  ]);
});

test('a call is due at its time of the schedule, however long the call before took', () => {
  expect([0, 1, 2, 100].map((index) => dueMs(1000, 10, index))).toEqual([1000, 1010, 1020, 2000]);
});
