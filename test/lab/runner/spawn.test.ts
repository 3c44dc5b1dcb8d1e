import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { openKoffiSyscalls } from '../../../lib/sys/koffi.ts';
import type { ExecutePlugin } from '../cni/invoke.ts';
import { childrenOf } from '../processes.ts';
import { openSpawn } from './spawn.ts';

let execute: ExecutePlugin;
beforeAll(() => {
  execute = openSpawn(openKoffiSyscalls());
});

const env = { PATH: '/usr/bin:/bin' };
const plain = { env, input: '', timeoutMs: 10_000 };

/** Makes an executable script that is removed when the test ends, and returns its path. */
function script(...lines: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-spawn-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'plugin');
  writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 });
  return path;
}

test('gives input, reads both outputs and the exit code', async () => {
  const path = script('cat; echo "on stderr" >&2; exit 7');
  const result = await execute(path, { ...plain, input: 'text é' });
  expect(result).toMatchObject({ exitCode: 7, signal: null, stdout: 'text é', stderr: 'on stderr\n' });
  expect(result.endNs).toBeGreaterThan(result.startNs);
});

test('carries more than fits into a pipe, in both directions at the same time', async () => {
  const input = 'x'.repeat(3_000_000);
  expect((await execute(script('exec cat'), { ...plain, input })).stdout).toBe(input);
});

test('works with a plugin that never reads its input', async () => {
  const result = await execute('/bin/true', { ...plain, input: 'x'.repeat(1_000_000) });
  expect(result).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
});

test('gives exactly the variables', async () => {
  const path = script('tr "\\0" "\\n" < /proc/$$/environ');
  const { stdout } = await execute(path, { ...plain, env: { PATH: '/usr/bin:/bin', A: 'b=c' } });
  expect(stdout).toBe('PATH=/usr/bin:/bin\nA=b=c\n');
});

test('passes on no descriptor of this process', async () => {
  const { stdout } = await execute(script('ls /proc/$$/fd'), plain);
  // The shell itself has the script open as descriptor 10. Descriptors that this process inherited without close-on-exec are not
  // ours.
  const passedOn = stdout
    .trim()
    .split('\n')
    .map(Number)
    .filter((fd) => fd !== 10 && !isInherited(fd));
  expect(passedOn).toEqual([0, 1, 2]);
});

test('does not pass on that Node ignores SIGPIPE', async () => {
  const ignored = async (of: string): Promise<bigint> => {
    const { stdout } = await execute(script(`grep SigIgn ${of}`), plain);
    return BigInt(`0x${stdout.trim().split('\t')[1]}`);
  };
  const sigpipe = 1n << 12n;
  expect((await ignored(`/proc/${process.pid}/status`)) & sigpipe).toBe(sigpipe);
  expect((await ignored('/proc/$$/status')) & sigpipe).toBe(0n);
});

/** Returns the descriptors above 2 without close-on-exec, which the program that started this process left open. */
function isInherited(fd: number): boolean {
  const path = `/proc/self/fdinfo/${fd}`;
  if (fd <= 2 || !existsSync(path)) return false;
  const flags = Number.parseInt(/^flags:\s*(\d+)$/m.exec(readFileSync(path, 'utf8'))?.[1] ?? '0', 8);
  return (flags & 0o2000000) === 0;
}

test('kills what takes too long', async () => {
  const result = await execute(script('exec sleep 60'), { ...plain, timeoutMs: 50 });
  expect(result).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
});

test.for([
  { name: 'that is not there', path: '/nowhere/plugin', want: 'exec: start /nowhere/plugin: ENOENT' },
  { name: 'that is no program', path: '/etc/passwd', want: 'exec: start /etc/passwd: EACCES' },
])('reports a file that is $name', async ({ path, want }) => {
  await expect(execute(path, plain)).rejects.toThrow(want);
});

test('runs many at once and leaves neither descriptors nor children', async () => {
  const path = script('cat; sleep 0.05');
  await execute(path, plain);
  const before = readdirSync('/proc/self/fd').length;
  const inputs = Array.from({ length: 20 }, (_, index) => `input ${index}`);
  const results = await Promise.all(inputs.map((input) => execute(path, { ...plain, input })));
  expect(results.map(({ stdout }) => stdout)).toEqual(inputs);
  expect(readdirSync('/proc/self/fd').length).toBe(before);
  expect(childrenOf(process.pid)).toEqual([]);
  await expect(execute('/nowhere/plugin', plain)).rejects.toThrow('ENOENT');
});
