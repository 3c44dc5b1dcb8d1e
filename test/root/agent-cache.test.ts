// dist/flanneld-agent.cache: when the agent runs what V8 has compiled beforehand, and when not.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { cacheOf } from '../../scripts/build.mjs';
import { needs } from '../support/needs.ts';

const dist = resolve(import.meta.dirname, '../../dist');
const WRITTEN = 'weft flanneld';
/** As long, because V8 itself refuses the cache of a program of another length. */
const COMPILED = 'weft-flanneld';

let program = '';
/** The cache of a program that differs from the agent's only in what it prints as its version. */
let other: Buffer;

beforeAll(async () => {
  needs.setUp(existsSync(join(dist, 'flanneld-agent.js')), dist);
  program = readFileSync(join(dist, 'flanneld-agent.js'), 'latin1');
  other = await cacheOf({ program: program.replaceAll(WRITTEN, COMPILED) });
});

const digestOf = (text: string): string => createHash('sha256').update(text, 'latin1').digest('hex');

/** The other program's cache, under another first line. */
function renamed(change: (line: string) => string): Buffer {
  const end = other.indexOf('\n');
  return Buffer.concat([Buffer.from(change(other.toString('latin1', 0, end))), other.subarray(end)]);
}

/** As if it were the cache of the agent's own program. */
const asOwn = (): Buffer => renamed((line) => line.replace(/\w+$/, digestOf(program)));

/** What the agent prints as its version with this cache beside it. */
function versionWith(cache: Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-cache-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const file of ['flanneld', 'flanneld-agent.js', 'koffi.node'])
    copyFileSync(join(dist, file), join(folder, file));
  writeFileSync(join(folder, 'flanneld-agent.cache'), cache);
  return execFileSync(join(folder, 'flanneld'), ['--version'], { encoding: 'utf8' });
}

describe('the agent', () => {
  test('runs what the cache has', () => {
    expect(versionWith(asOwn())).toContain(COMPILED);
  });

  test.for([
    { name: 'of another program', cache: () => other },
    { name: 'of another Node', cache: () => renamed((line) => asOwnLine(line).replace(process.version, 'v20.0.0')) },
    { name: 'for another processor', cache: () => renamed((line) => asOwnLine(line).replace(process.arch, 'arm')) },
    { name: 'that is cut short', cache: () => asOwn().subarray(0, 100_000) },
    { name: 'that has only its first line', cache: () => asOwn().subarray(0, asOwn().indexOf('\n') + 1) },
    { name: 'that is empty', cache: () => Buffer.alloc(0) },
  ])('does not run a cache $name', ({ cache }) => {
    expect(versionWith(cache())).toContain(WRITTEN);
  });
});

function asOwnLine(line: string): string {
  return line.replace(/\w+$/, digestOf(program));
}

test('the build leaves a cache of its own program for its own Node', () => {
  const file = readFileSync(join(dist, 'flanneld-agent.cache'));
  const line = file.toString('latin1', 0, file.indexOf('\n'));
  expect(line).toBe(`${process.version} ${process.arch} ${digestOf(program)}`);
});

test('two caches of one program have the same bytes', async () => {
  expect((await cacheOf({ program: program.replaceAll(WRITTEN, COMPILED) })).equals(other)).toBe(true);
});
