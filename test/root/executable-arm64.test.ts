// The CNI executable for arm64, cross-compiled and run under emulation: the same bytecode, another processor's
// system call numbers, flags and structs. `npm run suite -- arm64` installs what this needs.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { compileProgram, type Executable } from '../support/executable.ts';
import { needs } from '../support/needs.ts';

const CROSS_COMPILER = 'aarch64-linux-gnu-gcc';
const EMULATOR = 'qemu-aarch64-static';
const repository = resolve(import.meta.dirname, '../..');
const programs: Record<string, string> = {
  flannel: join(repository, 'cni-plugin/main.ts'),
  endings: join(import.meta.dirname, 'fixtures/endings.ts'),
  files: join(import.meta.dirname, 'fixtures/files.ts'),
};

const here = [CROSS_COMPILER, EMULATOR].every((command) => existsSync(join('/usr/bin', command)));
const emulated = new Map<string, Executable>();
const native = new Map<string, Executable>();

beforeAll(async () => {
  if (!here) return;
  for (const [name, entry] of Object.entries(programs)) {
    emulated.set(name, await compileProgram(entry, { arch: 'arm64' }));
    native.set(name, await compileProgram(entry));
  }
}, 300_000);
beforeEach(() =>
  needs.machine(here, `${CROSS_COMPILER} and ${EMULATOR} in /usr/bin (npm run suite -- arm64 installs them)`),
);
afterAll(() => {
  for (const executable of [...emulated.values(), ...native.values()]) executable.remove();
});

interface Run {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

function outcome(command: readonly string[], { args = [], env = {}, input = '' }: Run) {
  const [file = '', ...rest] = command;
  const result = spawnSync(file, [...rest, ...args], { env, input, encoding: 'utf8', timeout: 30_000 });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr };
}

/** Runs the program on both processors, whose results must be equal. */
function runBoth(name: string, run: Run) {
  const result = outcome([join('/usr/bin', EMULATOR), path(emulated, name)], run);
  expect(result).toEqual(outcome([path(native, name)], run));
  return result;
}

function path(executables: ReadonlyMap<string, Executable>, name: string): string {
  return executables.get(name)?.path ?? '';
}

test('both executables are of the same bytecode', () => {
  for (const name of Object.keys(programs)) {
    expect(emulated.get(name)?.record.bytecodeSha256).toBe(native.get(name)?.record.bytecodeSha256);
    expect(emulated.get(name)?.record.arch).toBe('arm64');
  }
});

describe('flannel', () => {
  test('answers VERSION', () => {
    const { status, stdout } = runBoth('flannel', { env: { CNI_COMMAND: 'VERSION' } });
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ supportedVersions: expect.arrayContaining(['1.0.0']) });
  });

  test.for([
    { name: 'an unknown command', run: { env: { CNI_COMMAND: 'NONE' } } },
    { name: 'stdin that is no JSON', run: { env: add(), input: '{' } },
    { name: 'a netns that is none', run: { env: add(), input: configuration() } },
  ])('answers $name with an error object', ({ run }) => {
    const { status, stdout } = runBoth('flannel', run);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ code: expect.any(Number), msg: expect.any(String) });
  });
});

function add() {
  return {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'c',
    CNI_NETNS: '/proc/self/status',
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/',
  };
}

function configuration() {
  const subnetFile = '/no/such/subnet.env';
  return JSON.stringify({ cniVersion: '1.0.0', name: 'cbr0', type: 'flannel', subnetFile });
}

describe('the host', () => {
  test.for(['fine', 'throw', 'throw null', 'recursion', 'memory', 'no result', 'child throws', 'large output'])(
    'ends as on this processor: %s',
    (ending) => {
      runBoth('endings', { args: [ending] });
    },
  );
});

test('files, locks and child processes work', () => {
  const reports = [[join('/usr/bin', EMULATOR), path(emulated, 'files')], [path(native, 'files')]].map((command) => {
    const folder = mkdtempSync(join(emulated.get('files')?.folder ?? '', 'files-'));
    const { stdout, stderr } = outcome(command, { args: [folder] });
    rmSync(folder, { recursive: true });
    expect(stderr).toBe('');
    return JSON.parse(stdout) as Record<string, unknown>;
  });
  expect(reports[0]).toEqual({ ...reports[1], arch: 'arm64' });
  expect(reports[1]).toEqual({
    arch: process.arch,
    created: [true, false],
    one: 'größe',
    three: 'second',
    two: 'absent',
    kinds: ['folder', 'file', 'absent'],
    size: 7,
    listed: ['b', 'one', 'three'],
    directoryOnly: -20,
    noFollow: -40,
    locked: 'locked',
    removed: [true, false],
    child: [0, 'through a pipe'],
  });
});
