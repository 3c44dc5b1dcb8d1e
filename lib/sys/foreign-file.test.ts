import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { openInPlace, readForeignText } from './foreign-file.ts';
import { openKoffiSyscalls } from './koffi.ts';

const sys = openKoffiSyscalls();
let dir = '';

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'weft-foreign-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
});

describe('readForeignText', () => {
  test.for([
    { name: 'a text', make: (path: string) => writeFileSync(path, 'größe'), want: { text: 'größe' } },
    { name: 'nothing', make: () => undefined, want: undefined },
    { name: 'a link to nothing', make: (path: string) => symlinkSync('none', path), want: undefined },
    {
      name: 'a pipe, without waiting',
      make: (path: string) => void execFileSync('mkfifo', [path]),
      want: { text: '' },
    },
    { name: 'a folder', make: (path: string) => mkdirSync(path), want: 'unreadable' },
    { name: 'a link to itself', make: (path: string) => symlinkSync(path, path), want: 'unreadable' },
    { name: 'an endless device', make: (path: string) => symlinkSync('/dev/zero', path), want: 'unreadable' },
    {
      name: 'a file that is too long',
      make: (path: string) => writeFileSync(path, 'x'.repeat(65)),
      want: 'unreadable',
    },
    { name: 'bytes', make: (path: string) => writeFileSync(path, Uint8Array.of(0xff, 0)), want: 'unreadable' },
  ])('reads $name', ({ make, want }) => {
    const path = join(dir, 'x');
    make(path);
    expect(readForeignText(sys, path, 64)).toEqual(want);
  });

  test('throws errors that may be gone at the next try', () => {
    writeFileSync(join(dir, 'file'), '');
    expect(() => readForeignText(sys, join(dir, 'file/x'), 64)).toThrow(/ENOTDIR/);
  });
});

describe('openInPlace', () => {
  const write = (text: string): void => {
    const fd = openInPlace(sys, join(dir, 'x'), 0o600);
    writeSync(fd, text);
    closeSync(fd);
  };

  test('makes a file, and keeps the bytes after the written ones', () => {
    write('abc');
    write('z');
    expect(readFileSync(join(dir, 'x'), 'utf8')).toBe('zbc');
  });

  test.for(['victim', 'none', 'x'])('replaces a link to %s', (target) => {
    writeFileSync(join(dir, 'victim'), 'precious');
    symlinkSync(target, join(dir, 'x'));
    write('mine');
    expect(readFileSync(join(dir, 'x'), 'utf8')).toBe('mine');
    expect(readFileSync(join(dir, 'victim'), 'utf8')).toBe('precious');
  });
});
