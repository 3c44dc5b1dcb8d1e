import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeTwoBuilds } from './two-builds.ts';

test('two builds run and report different ids, and a swap replaces one by the other', () => {
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

test('nothing of them is left', () => {
  const builds = makeTwoBuilds();
  const folder = dirname(dirname(builds.file));
  expect(existsSync(builds.file)).toBe(true);
  builds.remove();
  expect(existsSync(folder)).toBe(false);
});
