import { describe, expect, test } from 'vitest';
import { commonPoints, describePoint, parsePoints } from './points.ts';

describe('commonPoints', () => {
  const first = parsePoints('0 257 1\n0 271 1\n0 271 2\n1 3 1\n');

  test('keeps the first trace’s order, and what all have', () => {
    const second = parsePoints('1 3 1\n0 271 1\n0 257 1\n');
    expect(commonPoints([first, second])).toEqual(parsePoints('0 257 1\n0 271 1\n1 3 1\n'));
  });

  test('tells processes and numbers apart', () => {
    expect(commonPoints([first, parsePoints('1 257 1\n0 3 1\n0 271 3\n')])).toEqual([]);
  });

  test('of nothing is nothing', () => {
    expect(commonPoints([])).toEqual([]);
  });
});

describe('describePoint', () => {
  test('names the call as the processor has it', () => {
    const point = { process: 1, number: 44, nth: 2 };
    expect(describePoint(point, 'x64')).toBe('sendto 2 of process 1');
    expect(describePoint({ ...point, number: 206 }, 'arm64')).toBe('sendto 2 of process 1');
    expect(describePoint({ ...point, number: 1023 }, 'x64')).toBe('call 1023 2 of process 1');
  });
});
