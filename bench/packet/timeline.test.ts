import { describe, expect, test } from 'vitest';
import { failureOf, judgeDisturbance, segmentFigures, spanFigures, spanMs, type Timeline } from './timeline.ts';

const reached: Timeline = { t0: 1e9, t5: 1.004e9, t6: 1.003e9, t7: 1.0035e9, t8: 1.005e9 };

test('a span is printed in milliseconds, also when it ends before ADD returns', () => {
  expect(spanMs(reached, 't0', 't7')).toBeCloseTo(3.5);
  expect(spanMs(reached, 't5', 't7')).toBeCloseTo(-0.5);
  expect(spanMs({ ...reached, t7: undefined }, 't0', 't7')).toBeNaN();
});

describe('a timeline', () => {
  test('that reaches its last point has not failed', () => {
    expect(failureOf(reached)).toBeUndefined();
  });

  test.for<{ change: Timeline; want: RegExp }>([
    { change: { t0: undefined }, want: /^ADD did not return/ },
    { change: { t5: undefined }, want: /^ADD did not return/ },
    { change: { t6: undefined, t7: undefined, t8: undefined }, want: /^no packet left/ },
    { change: { t7: undefined, t8: undefined }, want: /^no packet was delivered/ },
    { change: { t8: undefined }, want: /^no answer/ },
    { change: { t5: 0.9e9 }, want: /clocks differ/ },
    { change: { t6: 1.0036e9 }, want: /clocks differ/ },
    { change: { t8: 1.0034e9 }, want: /clocks differ/ },
  ])('with $change has failed', ({ change, want }) => {
    expect(failureOf({ ...reached, ...change })).toMatch(want);
  });
});

describe('the figures', () => {
  test('count the failures beside the values', () => {
    const owner = { key: 'udp', name: 'UDP', role: 'weft' } as const;
    const figures = spanFigures(owner, [reached, { ...reached, t8: undefined }, reached, {}]);
    expect(figures.find(({ key }) => key === 'udp/T7-T0')?.samples).toEqual([3.5, null, 3.5, null]);
    expect(figures.find(({ key }) => key === 'udp/T7-T5')?.samples).toEqual([-0.5, null, -0.5, null]);
    expect(figures.filter(({ role }) => role === 'weft').map(({ key }) => key)).toEqual(['udp/T7-T0', 'udp/T5-T0']);
  });

  test('the segments add up to the whole', () => {
    const traced: Timeline = { ...reached, t1: 1.0003e9, t2: 1.0012e9, t3: 1.0021e9, t4: 1.0025e9 };
    const segments = segmentFigures({ key: 'traced', name: 'traced', role: 'weft' }, [traced]);
    const sum = segments.reduce((total, { samples }) => total + (samples[0] ?? Number.NaN), 0);
    expect(sum).toBeCloseTo(spanMs(traced, 't0', 't7'));
  });

  test('a pod that was not traced has none', () => {
    const segments = segmentFigures({ key: 'traced', name: 'traced', role: 'weft' }, [reached]);
    expect(segments.map(({ samples }) => samples[0] ?? null)).toEqual([null, null, null, null, 0.5]);
  });
});

describe('a control round', () => {
  const values = (middle: number, spread: number): number[] =>
    Array.from({ length: 20 }, (_, index) => middle + ((index * 7) % 20) * (spread / 20));

  test.for<{ name: string; withSender: number[]; verdict: string }>([
    { name: 'the same', withSender: values(3, 1), verdict: 'same' },
    { name: 'a little slower, all of them', withSender: values(3.05, 1), verdict: 'same' },
    { name: 'half as slow again', withSender: values(4.5, 1), verdict: 'disturbed' },
    { name: 'faster than possible', withSender: values(2, 1), verdict: 'disturbed' },
    { name: 'nothing measured', withSender: [Number.NaN], verdict: 'unclear' },
  ])('with $name', ({ withSender, verdict }) => {
    expect(judgeDisturbance(withSender, values(3, 1)).verdict).toBe(verdict);
  });

  test('that is too noisy is not called equal', () => {
    const noisy = [1, 9, 2, 8, 3, 7];
    expect(judgeDisturbance([9, 1, 7, 2, 9, 3], noisy).verdict).toBe('unclear');
  });
});
