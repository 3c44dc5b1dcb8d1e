import { describe, expect, test } from 'vitest';
import { DURATION_BUCKETS, RunMeter } from './meters.ts';

describe('RunMeter', () => {
  test('returns counts and sums, and then starts at zero', () => {
    const meter = new RunMeter();
    for (const seconds of [0.002, 0.001, 0.0015, 7]) meter.observe(seconds);
    expect(meter.take()).toEqual([
      { count: 1, seconds: 0.001 },
      { count: 2, seconds: 0.00175 },
      { count: 1, seconds: 7 },
    ]);
    expect(meter.take()).toEqual([]);
  });

  test.for(DURATION_BUCKETS.map((bound) => ({ bound })))('keeps $bound seconds in its own bucket', ({ bound }) => {
    const meter = new RunMeter();
    for (let run = 0; run < 1000; run++) meter.observe(bound);
    expect(meter.take()).toEqual([{ count: 1000, seconds: expect.closeTo(bound, 12) }]);
    for (let run = 0; run < 7; run++) meter.observe(bound);
    expect(meter.take()[0]?.seconds).toBeLessThanOrEqual(bound);
  });

  test('counts a failed run and rethrows its error', async () => {
    const meter = new RunMeter();
    await expect(meter.measure(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await meter.measure(() => Promise.resolve(5))).toBe(5);
    expect(meter.failures).toBe(1);
    expect(meter.take().reduce((sum, { count }) => sum + count, 0)).toBe(2);
  });
});
