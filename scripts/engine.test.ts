// The messages of the engine's set-up when it lacks what it needs. No test here uses the network.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

const script = join(import.meta.dirname, 'engine.mjs');

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-engine-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

function sourcesOf(version: readonly number[]): string {
  const folder = temporaryFolder();
  const [major, minor, patch] = version;
  const defines = `#define QJS_VERSION_MAJOR ${major}\n#define QJS_VERSION_MINOR ${minor}\n#define QJS_VERSION_PATCH ${patch}\n`;
  writeFileSync(join(folder, 'quickjs.h'), defines);
  return folder;
}

function setUp(env: Record<string, string>) {
  const own = { PATH: process.env['PATH'] ?? '', HOME: temporaryFolder() };
  const { status, stderr } = spawnSync(process.execPath, [script], { env: { ...own, ...env }, encoding: 'utf8' });
  return { status, stderr };
}

test.for([
  { name: 'an older minor version', version: [0, 16, 2], found: '0.16.2' },
  { name: 'a newer minor version', version: [0, 18, 0], found: '0.18.0' },
  { name: 'another major version', version: [1, 17, 0], found: '1.17.0' },
])('refuses $name of QuickJS-ng', ({ version, found }) => {
  const folder = sourcesOf(version);
  expect(setUp({ QUICKJS_SRC: folder })).toEqual({
    status: 1,
    stderr: `engine: QuickJS-ng ${found} in ${folder}, 0.17 is needed: set QUICKJS_SRC to a folder with its sources\n`,
  });
});

test('says that a folder has no QuickJS-ng', () => {
  const folder = temporaryFolder();
  expect(setUp({ QUICKJS_SRC: folder })).toEqual({
    status: 1,
    stderr: `engine: no QuickJS-ng in ${folder}, 0.17 is needed: set QUICKJS_SRC to a folder with its sources\n`,
  });
});

test('says where it looked for musl', () => {
  const folder = temporaryFolder();
  const { status, stderr } = setUp({ QUICKJS_SRC: sourcesOf([0, 17, 3]), MUSL_DEV: folder });
  expect(status).toBe(1);
  expect(stderr).toContain(`in ${folder}/usr/lib/`);
  expect(stderr).toMatch(/^engine: no musl for .*install musl-dev or set MUSL_DEV.*\n$/);
});

test('prints the compiler’s first error', () => {
  const musl = temporaryFolder();
  const triple = process.arch === 'x64' ? 'x86_64-linux-musl' : 'aarch64-linux-musl';
  mkdirSync(join(musl, 'usr/lib', triple), { recursive: true });
  writeFileSync(join(musl, 'usr/lib', triple, 'libc.a'), '');
  const { status, stderr } = setUp({ QUICKJS_SRC: sourcesOf([0, 17, 0]), MUSL_DEV: musl });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^gcc: .*fatal error: .*\.c: No such file or directory\n$/);
});

test('says what is missing when apt cannot fetch', () => {
  const tools = temporaryFolder();
  writeFileSync(join(tools, 'apt-get'), '#!/bin/sh\necho "E: no such site" >&2\nexit 100\n', { mode: 0o755 });
  const { status, stderr } = setUp({ PATH: `${tools}:${process.env['PATH'] ?? ''}` });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^engine: apt-get indextargets: E: no such site; check the mirror, or set QUICKJS_SRC.*\n$/);
});
