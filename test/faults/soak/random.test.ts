import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Random } from './random.ts';

test('the same seed gives the same numbers, another seed gives others', () => {
  const numbers = (seed: number): number[] => {
    const random = new Random(seed);
    return Array.from({ length: 20 }, () => random.next());
  };
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      expect(numbers(seed)).toEqual(numbers(seed));
      expect(numbers(seed)).not.toEqual(numbers(seed + 1));
    }),
  );
});

test('an integer lies in its range, and every number of a small range occurs', () => {
  const random = new Random(7);
  const seen = new Set(Array.from({ length: 500 }, () => random.integer(3, 8)));
  expect([...seen].toSorted()).toEqual([3, 4, 5, 6, 7, 8]);
});

test('choosing from an empty list gives undefined', () => {
  expect(new Random(1).pick([])).toBeUndefined();
});

test('a MAC is a locally administered unicast address', () => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      expect(new Random(seed).mac()).toMatch(/^02(:[0-9a-f]{2}){5}$/);
    }),
  );
});

test('forks differ from each other and can be repeated', () => {
  const forks = (): number[] => {
    const random = new Random(5);
    return [random.fork().next(), random.fork().next()];
  };
  expect(forks()).toEqual(forks());
  expect(new Set(forks()).size).toBe(2);
});
