import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeTwoBuilds } from './two-builds.ts';

test('two builds run and differ in their id, and a swap puts one in the place of the other', () => {
  const builds = makeTwoBuilds();
  onTestFinished(() => builds.remove());
  const first = builds.version();
  builds.swap();
  const second = builds.version();
  expect(first).toMatch(/^weft flanneld .*\+[0-9a-f]{12}$/);
  expect(second).toMatch(/^weft flanneld .*\+[0-9a-f]{12}$/);
  expect(second).not.toBe(first);
  builds.swap();
  expect(builds.version()).toBe(first);
});

test('nothing is left of them', () => {
  const builds = makeTwoBuilds();
  const folder = dirname(dirname(builds.file));
  expect(existsSync(builds.file)).toBe(true);
  builds.remove();
  expect(existsSync(folder)).toBe(false);
});
