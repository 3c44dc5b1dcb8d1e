import { describe, expect, test } from 'vitest';
import { commonPoints, describePoint, parsePoints } from './points.ts';

describe('commonPoints', () => {
  const first = parsePoints('0 257 1\n0 271 1\n0 271 2\n1 3 1\n');

  test('keeps the order of the first trace, and only what all traces have', () => {
    const second = parsePoints('1 3 1\n0 271 1\n0 257 1\n');
    expect(commonPoints([first, second])).toEqual(parsePoints('0 257 1\n0 271 1\n1 3 1\n'));
  });

  test('distinguishes processes and numbers', () => {
    expect(commonPoints([first, parsePoints('1 257 1\n0 3 1\n0 271 3\n')])).toEqual([]);
  });

  test('of no traces is empty', () => {
    expect(commonPoints([])).toEqual([]);
  });
});

describe('describePoint', () => {
  test('uses the processor’s name of the call', () => {
    const point = { process: 1, number: 44, nth: 2 };
    expect(describePoint(point, 'x64')).toBe('sendto 2 of process 1');
    expect(describePoint({ ...point, number: 206 }, 'arm64')).toBe('sendto 2 of process 1');
    expect(describePoint({ ...point, number: 1023 }, 'x64')).toBe('call 1023 2 of process 1');
  });
});
