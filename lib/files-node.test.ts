import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { makeFolders, readRegularFile } from './files-node.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'weft-files-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
});

describe('readRegularFile', () => {
  test('reads all of a file, also through a link, and one that claims no size', () => {
    writeFileSync(join(dir, 'file'), 'x'.repeat(100_000));
    symlinkSync('file', join(dir, 'link'));
    expect(readRegularFile(join(dir, 'link'), 100_000).toString()).toBe('x'.repeat(100_000));
    expect(readRegularFile('/proc/self/status', 100_000).toString()).toMatch(/^Name:/);
  });

  test('does not wait, neither for the other end of a pipe nor for the end of a device', () => {
    const pipe = join(dir, 'pipe');
    execFileSync('mkfifo', [pipe]);
    expect(() => readRegularFile(pipe, 10)).toThrow(`file: read ${pipe}: no regular file`);
    expect(() => readRegularFile('/dev/zero', 10)).toThrow('file: read /dev/zero: no regular file');
    expect(() => readRegularFile(dir, 10)).toThrow(': no regular file');
    expect(() => readRegularFile(join(dir, 'none'), 10)).toThrow('ENOENT');
  });

  test('refuses a file that is too long instead of cutting it', () => {
    writeFileSync(join(dir, 'file'), '12345678901');
    expect(() => readRegularFile(join(dir, 'file'), 10)).toThrow(': longer than 10 bytes');
  });
});

describe('makeFolders', () => {
  test('makes all missing folders, writable by their owner only', () => {
    const umask = process.umask(0);
    onTestFinished(() => void process.umask(umask));
    makeFolders(join(dir, 'a/b/c'));
    makeFolders(join(dir, 'a/b/c'));
    expect(statSync(join(dir, 'a')).mode & 0o777).toBe(0o755);
    expect(statSync(join(dir, 'a/b/c')).mode & 0o777).toBe(0o755);
  });

  test('follows a link to a folder', () => {
    symlinkSync(dir, join(dir, 'link'));
    makeFolders(join(dir, 'link/a'));
    expect(statSync(join(dir, 'a')).isDirectory()).toBe(true);
  });

  test.for([
    { name: 'below /proc, where Node’s own way never ends', path: () => '/proc/nope/a', want: 'ENOENT' },
    { name: 'a file is in the way', path: () => join(dir, 'file'), want: 'EEXIST' },
    { name: 'a file is above', path: () => join(dir, 'file/a/b'), want: 'ENOTDIR' },
    { name: 'a link that leads nowhere is above', path: () => join(dir, 'nowhere/a'), want: 'ENOENT' },
  ])('says why not: $name', ({ path, want }) => {
    writeFileSync(join(dir, 'file'), '');
    symlinkSync('/nowhere/at/all', join(dir, 'nowhere'));
    expect(() => makeFolders(path())).toThrow(want);
  });
});
