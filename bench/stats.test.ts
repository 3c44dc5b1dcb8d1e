import { describe, expect, test } from 'vitest';
import { median, medianWithInterval, quantiles, randomNumbers, ratioOfMedians, summarize } from './stats.ts';

describe('quantiles', () => {
  test.for([
    { name: 'one value', values: [7], want: [7, 7, 7] },
    { name: 'unsorted values', values: [10, 2, 9, 1, 3, 8, 4, 7, 5, 6], want: [2, 6, 10] },
    { name: 'none', values: [], want: [Number.NaN, Number.NaN, Number.NaN] },
  ])('finds those of $name', ({ values, want }) => {
    expect(quantiles(values, [0.1, 0.5, 0.9])).toEqual(want);
  });

  test('does not change the list', () => {
    const values = [3, 1, 2];
    median(values);
    expect(values).toEqual([3, 1, 2]);
  });
});

test('a summary has the count and the tail', () => {
  const values = Array.from({ length: 1000 }, (_, index) => index + 1);
  expect(summarize(values)).toEqual({ count: 1000, p50: 501, p90: 901, p99: 991, max: 1000 });
});

describe('ratioOfMedians', () => {
  const random = randomNumbers(1);
  const noisy = (centre: number): number[] => Array.from({ length: 200 }, () => centre * (0.9 + 0.2 * random()));

  test('finds a known ratio, with a narrow interval that holds it', () => {
    const { value, low, high } = ratioOfMedians(noisy(30), noisy(100));
    expect(value).toBeCloseTo(0.3, 1);
    expect(low).toBeLessThanOrEqual(value);
    expect(high).toBeGreaterThanOrEqual(value);
    expect(high - low).toBeLessThan(0.03);
  });

  test('the interval holds 1 when both sides are the same', () => {
    const { low, high } = ratioOfMedians(noisy(50), noisy(50));
    expect(low).toBeLessThan(1.005);
    expect(high).toBeGreaterThan(0.995);
  });

  test('the interval is wider with fewer rounds', () => {
    const [a, b] = [noisy(50), noisy(50)];
    const many = ratioOfMedians(a, b);
    const few = ratioOfMedians(a.slice(0, 10), b.slice(0, 10));
    expect(few.high - few.low).toBeGreaterThan(many.high - many.low);
  });

  test('a machine that becomes slower disturbs both sides of a round and does not widen the interval', () => {
    const drift = Array.from({ length: 100 }, (_, round) => 100 + round * 10);
    const { low, high } = ratioOfMedians(
      drift.map((value) => value / 2),
      drift,
    );
    expect([low, high]).toEqual([0.5, 0.5]);
  });

  test('a round in which one side failed counts for neither side', () => {
    const { value } = ratioOfMedians([1, 1, Number.NaN, 1], [2, 2, 1000, 2]);
    expect(value).toBe(0.5);
  });

  test('the same samples give the same interval', () => {
    const [a, b] = [noisy(10), noisy(20)];
    expect(ratioOfMedians(a, b)).toEqual(ratioOfMedians(a, b));
  });

  test('four rounds give no interval, five do', () => {
    const [a, b] = [noisy(10).slice(0, 5), noisy(20).slice(0, 5)];
    expect(ratioOfMedians(a.slice(1), b.slice(1))).toEqual({
      value: expect.closeTo(0.5, 0),
      low: Number.NaN,
      high: Number.NaN,
    });
    expect(ratioOfMedians(a, b).low).toBeGreaterThan(0);
  });

  test('without rounds there is no ratio', () => {
    expect(ratioOfMedians([], []).value).toBeNaN();
  });
});

test('random numbers stay in [0, 1), spread, and repeat with their seed', () => {
  const [a, b] = [randomNumbers(7), randomNumbers(7)];
  const values = Array.from({ length: 1000 }, a);
  expect(values).toEqual(Array.from({ length: 1000 }, b));
  expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...values)).toBeLessThan(1);
  expect(values.filter((value) => value < 0.5).length).toBeGreaterThan(400);
});

test('the interval of a median holds the median, and is unknown for few values', () => {
  const { value, low, high } = medianWithInterval([1, 2, 3, 4, Number.NaN, 10]);
  expect(value).toBe(3);
  expect(low).toBeGreaterThanOrEqual(1);
  expect(low).toBeLessThan(3);
  expect(high).toBeGreaterThan(3);
  expect(high).toBeLessThanOrEqual(10);
  expect(medianWithInterval([1, 3])).toMatchObject({ low: Number.NaN, high: Number.NaN });
});
