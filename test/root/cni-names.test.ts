// The agent installs the CNI executable under exactly the names to which it answers, and recognises it by its mark.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { identify } from '../../flanneld/cni/executables.ts';
import { installExecutables } from '../../flanneld/cni/install-executables.ts';
import { PLUGIN_NAMES } from '../../lib/plugin-names.ts';
import { needs } from '../support/needs.ts';

const executable = resolve(import.meta.dirname, '../../dist/cni/flannel');

beforeEach(() => needs.setUp(existsSync(executable), executable));

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'weft-cni-names-'));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

test.for(PLUGIN_NAMES)('installed under the name %s, it is that plugin', (name) => {
  const bin = folder();
  installExecutables(executable, bin, new Set());
  const { stderr } = spawnSync(join(bin, name), { env: {}, input: '', encoding: 'utf8' });
  expect(stderr).toMatch(new RegExp(`^CNI ${name} plugin \\(weft\\) \\d+\\.\\d+\\.\\d+`));
});

test('every plugin that it contains is installed', () => {
  const source = readFileSync(resolve(import.meta.dirname, '../../cni-plugin/main.ts'), 'utf8');
  const names = [...source.matchAll(/case '([a-z-]+)':/g)].map(([, name]) => name);
  expect([...names, 'flannel'].sort()).toEqual([...PLUGIN_NAMES].sort());
});

test('a later build is recognised as ours', () => {
  expect(identify(executable, new Uint8Array())).toBe('ours');
});
