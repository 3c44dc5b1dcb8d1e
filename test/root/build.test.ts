// The programs that `npm run build` leaves in dist: each runs by itself, wherever it is copied.

import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { needs } from '../support/needs.ts';

const dist = resolve(import.meta.dirname, '../../dist');
const ELF_PROGRAM_INTERPRETER = 3;

beforeEach(() => needs.setUp(existsSync(join(dist, 'cni/flannel')) && existsSync(join(dist, 'flanneld')), dist));

function copyAlone(...files: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-dist-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const file of files) copyFileSync(join(dist, file), join(folder, file.slice(file.lastIndexOf('/') + 1)));
  return folder;
}

describe('flanneld', () => {
  test('runs with only koffi.node beside it', () => {
    const folder = copyAlone('flanneld', 'koffi.node');
    expect(execFileSync(join(folder, 'flanneld'), ['--version'], { cwd: '/', encoding: 'utf8' })).toContain('weft');
  });

  test('runs in dist, below the repository’s package.json', () => {
    expect(execFileSync(join(dist, 'flanneld'), ['--version'], { cwd: '/', encoding: 'utf8' })).toContain('weft');
  });

  test('says what is missing without koffi.node', () => {
    const folder = copyAlone('flanneld');
    const { status, stderr } = spawnSync(join(folder, 'flanneld'), ['--version'], { cwd: '/', encoding: 'utf8' });
    expect(status).not.toBe(0);
    expect(stderr).toContain('koffi.node');
  });
});

describe('flannel', () => {
  test('runs alone', () => {
    const folder = copyAlone('cni/flannel');
    const env = { CNI_COMMAND: 'VERSION' };
    expect(execFileSync(join(folder, 'flannel'), { cwd: '/', env, input: '', encoding: 'utf8' })).toContain('1.0.0');
  });

  test('is static', () => {
    const file = readFileSync(join(dist, 'cni/flannel'));
    const table = Number(file.readBigUInt64LE(32));
    const types = Array.from({ length: file.readUInt16LE(56) }, (_, at) => file.readUInt32LE(table + at * 56));
    expect(types.length).toBeGreaterThan(2);
    expect(types).not.toContain(ELF_PROGRAM_INTERPRETER);
  });

  test('comes with a record of what it was made from', () => {
    expect(JSON.parse(readFileSync(join(dist, 'cni/BUILD.json'), 'utf8'))).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f]{12}$/),
      arch: process.arch,
      bytecodeSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      quickjs: { version: expect.stringMatching(/^0\.17\./), sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      musl: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      compiler: expect.stringMatching(/gcc/),
    });
  });
});
