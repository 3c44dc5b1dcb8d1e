// The heap that the build saves in the executable (cni-plugin/host-heap.c, scripts/heap-image.mjs).

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { encodeProfile } from '../../scripts/heap-profile.mjs';
import { compilePlugins } from '../support/cni-node.ts';
import { compileProgram } from '../support/executable.ts';
import { slowed } from '../support/slowness.ts';

const fixtures = join(import.meta.dirname, 'fixtures');
const asLoaded = {
  counted: [1, 2],
  map: [
    ['one', 1],
    [2, 'two'],
    ['three', 1],
  ],
  set: [String(1n << 100n), '2'],
  view: 0x0102,
  matched: ['a', 'b'],
  symbol: 'by symbol',
  entries: 1009,
  letter: 'b',
  day: '1970-01-02T00:00:00.000Z',
  failure: 'kept',
  // The saved state of Math.random would be the same in every process, so the host removes the function.
  random: 'undefined',
};

test.for([
  { build: 'plain', options: {} },
  { build: 'profiled', options: { profile: true } },
  { build: 'sanitizer', options: { sanitize: true } },
])(
  'every process of the $build build starts with the state that loading left',
  { timeout: slowed(120_000) },
  async ({ options }) => {
    const { path, remove } = await compileProgram(join(fixtures, 'loaded-state.ts'), options);
    onTestFinished(remove);
    for (const _ of [1, 2, 3]) {
      const { stdout, stderr } = spawnSync(path, { encoding: 'utf8' });
      expect(stderr).toBe('');
      expect(JSON.parse(stdout)).toEqual(asLoaded);
    }
  },
);

test('the blocks of the CNI executable that an ADD and a DEL use are together', {
  timeout: slowed(120_000),
}, async () => {
  const { record, remove } = await compilePlugins();
  onTestFinished(remove);
  expect(record.profiled).toBe(true);
});

test('a profile has the sizes of the two kinds of blocks, and one bit for each block', () => {
  const profile = encodeProfile(
    new Map([
      [1, { bytes: 24, isWritten: true }],
      [2, { bytes: 16, isWritten: false }],
      [9, { bytes: 4104, isWritten: true }],
    ]),
  );
  expect([profile.readUInt32LE(0), profile.readUInt32LE(4)]).toEqual([4128, 16]);
  const [written, read] = [profile.subarray(8, 8 + 32_768), profile.subarray(8 + 32_768)];
  expect([...written.subarray(0, 3)]).toEqual([0b10, 0b10, 0]);
  expect([...read.subarray(0, 3)]).toEqual([0b100, 0, 0]);
  expect(read.length).toBe(32_768);
});

test('only the build saves a heap: an executable with a heap treats the argument like any other', async () => {
  const { path, remove } = await compileProgram(join(fixtures, 'loaded-state.ts'));
  onTestFinished(remove);
  const { stdout } = spawnSync(path, ['--save-heap'], { encoding: 'utf8' });
  expect(JSON.parse(stdout)).toMatchObject({
    counted: [1, 2],
    map: [
      ['one', 1],
      [2, 'two'],
      ['three', 2],
    ],
  });
});

test('a program that asks its host for something while it loads is not built', async () => {
  await expect(compileProgram(join(fixtures, 'asks-while-loading.ts'))).rejects.toThrow(
    /saving its heap: .*host is not defined/,
  );
});

test('two builds of the same sources are the same, byte for byte', async () => {
  const entry = join(fixtures, 'loaded-state.ts');
  const builds = [await compileProgram(entry), await compileProgram(entry)];
  onTestFinished(() => {
    for (const build of builds) build.remove();
  });
  const [one, other] = builds.map(({ path }) => readFileSync(path));
  expect(one?.equals(other ?? Buffer.alloc(0))).toBe(true);
});
