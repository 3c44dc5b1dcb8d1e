// The sanitizer build (cni-plugin/host-check.c) stops a program that gives the kernel a forbidden address or uses arena memory after its
// scope. The last table matters most: without a fault the build reports nothing.

import { spawnSync } from 'node:child_process';
import { renameSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { compileProgram, type Executable } from '../support/executable.ts';
import { needs } from '../support/needs.ts';

let checked: Executable;
let plain: Executable;

beforeAll(async () => {
  const entry = join(import.meta.dirname, 'fixtures/memory-faults.ts');
  checked = await compileProgram(entry, { sanitize: true });
  plain = await compileProgram(entry);
}, 300_000);
afterAll(() => {
  checked?.remove();
  plain?.remove();
});

function make(program: Executable, fault: string) {
  return spawnSync(program.path, [fault], { encoding: 'utf8', timeout: 20_000 });
}

describe('the sanitizer build', () => {
  test.for([
    { fault: 'read too long by a byte', says: 'read: byte 60 of 61' },
    { fault: 'read far too long', says: 'read: byte 64 of 1048576' },
    { fault: 'read into a kept slot, too long', says: 'read: byte 24 of 25' },
    { fault: 'read after release', says: 'read: byte 0 of 64' },
    { fault: 'read outside the arena', says: 'read: 1 bytes at 0x1000 are not inside the arena' },
    { fault: 'vector too long', says: 'readv: byte 64 of 65' },
    { fault: 'string without its end', says: 'openat: byte 0 of 1' },
    { fault: 'argument vector with a released string', says: 'execve: byte 0 of 1' },
    { fault: 'length the kernel will write back', says: 'getsockname: byte 16 of 17' },
    { fault: 'unknown call', says: 'number 159 is not in the table' },
    { fault: 'address where none belongs', says: 'close: argument 1 is an address the table does not know' },
    { fault: 'write through a stale view', says: 'AddressSanitizer: use-after-poison' },
    { fault: 'read through a stale view', says: 'AddressSanitizer: use-after-poison' },
    { fault: 'decode of a stale view', says: 'decode: byte 0 of 64' },
    { fault: 'fill across the end of a slot', says: 'AddressSanitizer: use-after-poison' },
  ])('stops at: $fault', ({ fault, says }) => {
    needs.machine(process.arch === 'x64', 'x86-64 (the fixture has system call numbers of its own)');
    const result = make(checked, fault);
    expect(result.stderr).toContain(says);
    expect(result.status).not.toBe(0);
    expect(result.stdout).toBe('');
  });

  test('reports nothing when there is no fault', () => {
    expect(make(checked, 'none')).toMatchObject({ status: 0, stdout: 'no fault was noticed\n', stderr: '' });
  });
});

describe('under the sanitizer', () => {
  test('files, locks and child processes work without a report', { timeout: 120_000 }, async () => {
    const program = await compileProgram(join(import.meta.dirname, 'fixtures/files.ts'), { sanitize: true });
    onTestFinished(program.remove);
    const { status, stderr } = spawnSync(program.path, [program.folder], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  // Checks every address that the executable gives to the kernel, in hundreds of executions that add and remove pods' networks.
  test('the real executable keeps its contract', { timeout: 240_000 }, async () => {
    const repository = resolve(import.meta.dirname, '../..');
    const program = await compileProgram(join(repository, 'cni-plugin/main.ts'), { sanitize: true });
    onTestFinished(program.remove);
    renameSync(program.path, join(program.folder, 'flannel'));
    for (const name of ['bridge', 'host-local', 'loopback']) symlinkSync('flannel', join(program.folder, name));
    const rows = ['--plugin', 'flannel', '--plugin', 'loopback'];
    const args = [join(repository, 'scripts/npm-script.mjs'), 'conformance', '--bin', program.folder, ...rows];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(stdout).not.toContain('FAIL');
    expect(status).toBe(0);
  });
});

describe('the plain build', () => {
  test.for(['none', 'read after release', 'write through a stale view'])('does not notice: %s', (fault) => {
    expect(make(plain, fault)).toMatchObject({ status: 0, stdout: 'no fault was noticed\n' });
  });
});
