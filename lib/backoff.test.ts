import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffMs } from './backoff.ts';

const policy = { firstMs: 100, capMs: 5000, jitter: 0.5 };

describe('backoffMs', () => {
  test.for([
    { attempt: 1, random: 0, want: 50 },
    { attempt: 1, random: 0.999999, want: 100 },
    { attempt: 2, random: 0.5, want: 150 },
    { attempt: 6, random: 0, want: 1600 },
    { attempt: 7, random: 0.999999, want: 5000 },
    { attempt: 1_000_000, random: 0, want: 2500 },
    { attempt: 0, random: 0, want: 50 },
  ])('failure $attempt with random $random waits $want ms', ({ attempt, random, want }) => {
    expect(backoffMs(policy, attempt, random)).toBe(want);
  });

  test('doubles exactly without jitter', () => {
    const plain = { firstMs: 1000, capMs: 30_000, jitter: 0 };
    expect([1, 2, 3, 4, 5, 6, 7].map((attempt) => backoffMs(plain, attempt, 0.3))).toEqual([
      1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
    ]);
  });

  test('never shrinks with more failures, never passes the cap, never is NaN', () => {
    fc.assert(
      fc.property(fc.nat(), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempt, random) => {
        const now = backoffMs(policy, attempt, random);
        expect(now).toBeLessThanOrEqual(policy.capMs);
        expect(backoffMs(policy, attempt + 1, random)).toBeGreaterThanOrEqual(now);
      }),
    );
  });
});
