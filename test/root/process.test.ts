// Child processes of the CNI executable (lib/sys/process.ts), tested in its own engine, because Node cannot fork.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { compileProgram, type Executable } from '../support/executable.ts';
import { slowed } from '../support/slowness.ts';

const MEGABYTE = 1024 * 1024;
let executable: Executable;

beforeAll(async () => {
  executable = await compileProgram(join(import.meta.dirname, 'fixtures/commands.ts'));
}, slowed(120_000));
afterAll(() => executable?.remove());

function run(name: string, redirections = '') {
  const folder = mkdtempSync(join(tmpdir(), 'weft-process-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const shell = ['-c', `exec "$0" "$@" ${redirections}`, executable.path, name, folder];
  const { status, stdout } = spawnSync('/bin/sh', shell, { encoding: 'utf8', timeout: slowed(20_000) });
  return { status, stdout, folder };
}

function finished(name: string) {
  const { status, stdout } = run(name);
  expect({ name, status, stdout }).toMatchObject({ status: 0 });
  return JSON.parse(stdout);
}

const fine = { exitCode: 0, signal: null, killed: null };

describe('runCommand', () => {
  test.for([
    { name: 'echo', want: { ...fine, exitCode: 3, stdout: 'grüße', stderr: 'note\n' } },
    { name: 'one megabyte each way', want: { ...fine, stdout: `${MEGABYTE} bytes` } },
    {
      name: 'one megabyte on stderr first',
      want: { ...fine, stdout: `${MEGABYTE} bytes`, stderr: `${MEGABYTE} bytes` },
    },
    { name: 'stdin nobody reads', want: { ...fine, stdout: 'done\n' } },
    { name: 'signal sent to itself', want: { exitCode: null, signal: 15, killed: null } },
    { name: 'SIGPIPE is back to its default', want: { ...fine, stdout: 'y\n', stderr: 'yes ended with 141\n' } },
    { name: 'environment', want: { ...fine, stdout: 'ONE=1\nPATH=/usr/bin:/bin\n' } },
    { name: 'still being written, then not', want: { ...fine, stdout: 'ran\n' } },
  ])('$name', ({ name, want }) => {
    expect(finished(name)).toMatchObject(want);
  });

  test('passes on no descriptor of its own', () => {
    const control = spawnSync('/bin/sh', ['-c', 'ls /proc/self/fd | wc -w'], { encoding: 'utf8' });
    expect(finished('descriptors left open')).toMatchObject({ stdout: control.stdout });
  });

  test.for([
    { name: 'deadline', killed: 'deadline' },
    { name: 'outputs closed, then idle', killed: 'deadline' },
    { name: 'grandchild holds the output', killed: 'deadline' },
    { name: 'too much output', killed: 'output' },
  ])('ends the child: $name', ({ name, killed }) => {
    expect(finished(name)).toMatchObject({ killed });
  });

  test.for([
    { name: 'no such file', want: 'sys: execute /no/such/file: ENOENT' },
    { name: 'not executable', want: 'sys: execute /etc: EACCES' },
  ])('reports what could not be executed: $name', ({ name, want }) => {
    expect(run(name)).toMatchObject({ status: 9, stdout: want });
  });

  test.for(['<&-', '2>&-', '<&- 2>&-'])('works when our own standard descriptors are closed: %s', (closed) => {
    const { status, stdout } = run('echo', closed);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ exitCode: 3, stdout: 'grüße', stderr: 'note\n' });
  });
});

describe('writeAll', () => {
  test('writes more than a page of the arena', () => {
    const { folder } = run('writes to a descriptor');
    expect(statSync(join(folder, 'out')).size).toBe(200_000);
  });
});

describe('forkHelper', () => {
  test('keeps the helper’s errors out of our output', () => {
    expect(run('helper throws')).toMatchObject({ status: 0, stdout: 'parent' });
  });

  test('does not keep the output open: the caller sees its end while the helper still works', async () => {
    const { status, stdout, folder } = run('helper outlives us');
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'parent' });
    expect(existsSync(join(folder, 'helper-was-here'))).toBe(false);
    await expect.poll(() => existsSync(join(folder, 'helper-was-here')), { timeout: slowed(5000) }).toBe(true);
  });
});
