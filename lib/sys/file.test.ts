import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import {
  atomicReplace,
  createFile,
  linkFile,
  listDir,
  makeDirs,
  namesOfInode,
  O_RDONLY,
  openFile,
  readText,
  readTextIfPresent,
  removeDir,
  removeFile,
  renameFile,
  S_IFDIR,
  S_IFMT,
  statFd,
  statPath,
  withFile,
  withLock,
} from './file.ts';
import { openKoffiSyscalls } from './koffi.ts';

const sys = openKoffiSyscalls();
let dir = '';

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'weft-file-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
});

describe('readText', () => {
  test('reads a file larger than one read', () => {
    const text = 'é'.repeat(50_000);
    writeFileSync(join(dir, 'big'), text);
    expect(readText(sys, join(dir, 'big'), 100_000)).toBe(text);
  });

  test('refuses a file over its limit instead of cutting it', () => {
    writeFileSync(join(dir, 'big'), 'x'.repeat(101));
    expect(() => readText(sys, join(dir, 'big'), 100)).toThrow(/more than 100 bytes\): EFBIG/);
    expect(readText(sys, join(dir, 'big'), 101)).toHaveLength(101);
  });

  test('refuses bytes that are not UTF-8', () => {
    writeFileSync(join(dir, 'bad'), new Uint8Array([0x41, 0xff]));
    expect(() => readText(sys, join(dir, 'bad'), 100)).toThrow();
  });

  test('names the path it could not open', () => {
    expect(() => readText(sys, '/no/such', 100)).toThrow('sys: open /no/such: ENOENT');
  });

  test('distinguishes a missing file from an unreadable one when asked', () => {
    expect(readTextIfPresent(sys, join(dir, 'none'), 100)).toBeUndefined();
    expect(() => readTextIfPresent(sys, dir, 100)).toThrow('EISDIR');
  });
});

describe('createFile', () => {
  test('is an allocation: true for one caller only', () => {
    const path = join(dir, '10.0.0.2');
    expect(createFile(sys, path, 'a', 0o600)).toBe(true);
    expect(createFile(sys, path, 'b', 0o600)).toBe(false);
    expect(readFileSync(path, 'utf8')).toBe('a');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });
});

describe('atomicReplace', () => {
  test('replaces the content and sets the mode whatever the umask', () => {
    const before = process.umask(0o077);
    onTestFinished(() => {
      process.umask(before);
    });
    const path = join(dir, 'subnet.env');
    writeFileSync(path, 'old');
    atomicReplace(sys, path, 'new', 0o644, { durable: true });
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(statSync(path).mode & 0o777).toBe(0o644);
  });

  test('leaves the old file and no temporary one when it fails', () => {
    makeDirs(sys, join(dir, 'taken/below'), 0o755);
    expect(() => atomicReplace(sys, join(dir, 'taken'), 'x', 0o644, { durable: false })).toThrow('EISDIR');
    expect(readdirSync(dir)).toEqual(['taken']);
  });

  test('does not write through a link planted as its temporary file', () => {
    writeFileSync(join(dir, 'victim'), 'safe');
    symlinkSync(join(dir, 'victim'), join(dir, `.f.${process.pid}`));
    expect(() => atomicReplace(sys, join(dir, 'f'), 'x', 0o644, { durable: false })).toThrow('ELOOP');
    expect(readFileSync(join(dir, 'victim'), 'utf8')).toBe('safe');
  });
});

describe('directories', () => {
  test('lists more names than one getdents64 returns', () => {
    const names = Array.from({ length: 2000 }, (_, index) => `a-rather-long-file-name-${index}`);
    for (const name of names) createFile(sys, join(dir, name), '', 0o600);
    expect(listDir(sys, dir)?.sort()).toEqual(names.sort());
  });

  test('finds every name of an inode among more names than one getdents64 returns, and no other', () => {
    const names = Array.from({ length: 2000 }, (_, at) => `a-name-that-makes-entries-longer-${at}`);
    for (const name of names) writeFileSync(join(dir, name), '');
    expect(linkFile(sys, join(dir, names[1500] ?? ''), join(dir, 'again'))).toBe(true);
    const inode = statPath(sys, join(dir, 'again'))?.inode ?? 0;
    expect(namesOfInode(sys, dir, inode).sort()).toEqual([names[1500], 'again']);
    expect(namesOfInode(sys, dir, inode + 2 ** 32)).toEqual([]);
  });

  test('refuses a name that is taken', () => {
    writeFileSync(join(dir, 'one'), '1');
    writeFileSync(join(dir, 'two'), '2');
    expect(linkFile(sys, join(dir, 'one'), join(dir, 'two'))).toBe(false);
    expect(readFileSync(join(dir, 'two'), 'utf8')).toBe('2');
    expect(() => linkFile(sys, join(dir, 'none'), join(dir, 'three'))).toThrow(`link ${join(dir, 'three')}: ENOENT`);
  });

  test('distinguishes a missing directory from an empty one', () => {
    expect(listDir(sys, join(dir, 'none'))).toBeUndefined();
    expect(listDir(sys, dir)).toEqual([]);
  });

  test('makes what is missing and accepts what exists', () => {
    makeDirs(sys, join(dir, 'a/b/c'), 0o750);
    makeDirs(sys, join(dir, 'a/b/c'), 0o750);
    // Below /proc a folder is missing whatever is made above it.
    expect(() => makeDirs(sys, '/proc/nope/a', 0o750)).toThrow('sys: mkdir /proc/nope: ENOENT');
    expect(statSync(join(dir, 'a/b/c')).isDirectory()).toBe(true);
  });

  test('removes files and empty directories, and says when nothing existed', () => {
    createFile(sys, join(dir, 'f'), '', 0o600);
    expect([removeFile(sys, join(dir, 'f')), removeFile(sys, join(dir, 'f'))]).toEqual([true, false]);
    makeDirs(sys, join(dir, 'd'), 0o700);
    expect([removeDir(sys, join(dir, 'd')), removeDir(sys, join(dir, 'd'))]).toEqual([true, false]);
  });

  test('renames over an existing file', () => {
    writeFileSync(join(dir, 'a'), 'a');
    writeFileSync(join(dir, 'b'), 'b');
    renameFile(sys, join(dir, 'a'), join(dir, 'b'));
    expect(readdirSync(dir)).toEqual(['b']);
    expect(readFileSync(join(dir, 'b'), 'utf8')).toBe('a');
  });
});

describe('statPath', () => {
  test('agrees with stat(2) and does not follow a link', () => {
    const want = statSync(dir, { bigint: false });
    const got = statPath(sys, dir);
    expect(got).toMatchObject({ inode: want.ino, sizeBytes: want.size });
    expect((got?.mode ?? 0) & S_IFMT).toBe(S_IFDIR);
    symlinkSync(dir, join(dir, 'link'));
    expect(statPath(sys, join(dir, 'link'))?.inode).not.toBe(want.ino);
    expect(statPath(sys, join(dir, 'none'))).toBeUndefined();
  });

  test('gives the same through a descriptor', () => {
    const status = withFile(sys, dir, O_RDONLY, 0, (fd) => statFd(sys, fd));
    expect(status).toEqual(statPath(sys, dir));
  });
});

describe('withLock', () => {
  test('holds the lock only while the body runs, also when that throws', () => {
    const path = join(dir, 'lock');
    const tryLock = () => withFile(sys, path, O_RDONLY, 0, (fd) => sys.call(sys.nr.flock, fd, 2 | 4));
    const inside = withLock(sys, path, 0o750, tryLock);
    expect(inside).toBeLessThan(0);
    expect(() =>
      withLock(sys, path, 0o750, () => {
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(tryLock()).toBe(0);
  });
});

test('a failure inside withFile leaves no descriptor open', () => {
  const before = readdirSync('/proc/self/fd').length;
  expect(() =>
    withFile(sys, dir, O_RDONLY, 0, () => {
      throw new Error('stop');
    }),
  ).toThrow('stop');
  expect(readdirSync('/proc/self/fd').length).toBe(before);
  expect(openFile(sys, dir, O_RDONLY)).toBeGreaterThan(2);
});
