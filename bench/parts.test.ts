import { expect, test } from 'vitest';
import { partsNamed } from './parts.ts';

const QUICK_LIMIT_SEC = 110;
const FULL_LIMIT_SEC = 25 * 60;

test('a quick run is planned to end within two minutes with its build, a full one within 25', () => {
  const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
  expect(sum(partsNamed([], true).map(({ seconds }) => seconds.quick ?? Number.NaN))).toBeLessThan(QUICK_LIMIT_SEC);
  expect(sum(partsNamed([], false).map(({ seconds }) => seconds.full))).toBeLessThan(FULL_LIMIT_SEC);
});

test('what takes long is measured when asked for', () => {
  expect(partsNamed([], false).map(({ name }) => name)).not.toContain('nodes');
  expect(partsNamed(['nodes', 'start'], true).map(({ name }) => name)).toEqual(['nodes', 'start']);
});

test('a name no part has is told with those there are', () => {
  expect(() => partsNamed(['speed'], false)).toThrow(/^no part "speed" among start, cni, .*, nodes$/);
});
