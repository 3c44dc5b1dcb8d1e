// A file is found by its name: no two files of a program have the same one, and none has a name that could stand on any file.

import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const repository = fileURLToPath(new URL('..', import.meta.url));
/** Where a program begins has the same name everywhere. */
const ENTRY = 'main.ts';
const SAYS_NOTHING = /^(open|look|run|list|index|util|utils|misc|common)\.(ts|mjs)$/;

function sources(folder: string): string[] {
  return readdirSync(`${repository}${folder}`, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(ts|mjs)$/.test(path) && !/\.(test|d)\.ts$/.test(path))
    .map((path) => `${folder}/${path}`);
}

function namedAlike(paths: readonly string[]): string[][] {
  const names = new Set(paths.map((path) => basename(path)).filter((name) => name !== ENTRY));
  return [...names].map((name) => paths.filter((path) => basename(path) === name)).filter((found) => found.length > 1);
}

describe('file names', () => {
  test.for(['flanneld', 'cni-plugin', 'lib', 'bench'])('no two files of %s have the same', (program) => {
    expect(namedAlike(sources(program))).toEqual([]);
  });

  test('two files with one name are found (control)', () => {
    expect(namedAlike(['a/plan.ts', 'b/plan.ts', 'a/main.ts', 'b/main.ts'])).toEqual([['a/plan.ts', 'b/plan.ts']]);
  });

  test('each says what is inside', () => {
    const all = ['flanneld', 'cni-plugin', 'lib', 'bench', 'scripts', 'test'].flatMap(sources);
    expect(all.filter((path) => SAYS_NOTHING.test(basename(path)))).toEqual([]);
  });
});
