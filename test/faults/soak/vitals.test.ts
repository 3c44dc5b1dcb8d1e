import { expect, test } from 'vitest';
import { memoryTrend } from './vitals.ts';

function series(kibAt: (minute: number) => number, count = 40): { minutes: number; residentKib: number }[] {
  return Array.from({ length: count }, (_, minutes) => ({ minutes, residentKib: kibAt(minutes) }));
}

test('constant memory has no slope and equal quarters', () => {
  expect(memoryTrend(series(() => 51_200))).toEqual({
    leastMib: 50,
    mostMib: 50,
    earlyMib: 50,
    lateMib: 50,
    kibPerMinute: 0,
  });
});

test('memory that grows by a MiB a minute is reported as such', () => {
  const { kibPerMinute, earlyMib, lateMib } = memoryTrend(series((minute) => 51_200 + 1024 * minute));
  expect(kibPerMinute).toBeCloseTo(1024);
  expect(lateMib - earlyMib).toBe(20);
});

test('the warm-up does not count', () => {
  const { kibPerMinute, leastMib } = memoryTrend(series((minute) => (minute < 10 ? 1024 * minute : 40_960)));
  expect(kibPerMinute).toBeCloseTo(0);
  expect(leastMib).toBe(0);
});

test('few samples do not make it fail', () => {
  expect(memoryTrend(series(() => 1024, 1)).kibPerMinute).toBe(0);
});
