// How the CNI executable ends (cni-plugin/host.c): with 0 only after the whole output of main() was written, otherwise with a CNI error
// object and 1. A runtime regards exit code 0 with an empty stdout as success, so this must never happen by accident.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileProgram, type Executable } from '../support/executable.ts';
import { slowed } from '../support/slowness.ts';

const DEADLINE_MS = slowed(1000);
let executable: Executable;
let program: string;

beforeAll(async () => {
  executable = await compileProgram(join(import.meta.dirname, 'fixtures/endings.ts'));
  program = executable.path;
}, slowed(120_000));
afterAll(() => executable?.remove());

function end(ending: string, options: { input?: string | Buffer; env?: Record<string, string> } = {}) {
  const { input = '', env = {} } = options;
  return spawnSync(program, [ending], { input, env, encoding: 'utf8', timeout: DEADLINE_MS, maxBuffer: 1 << 26 });
}

/** Runs the program in a shell, whose redirections can give it a closed or full descriptor. */
function endInShell(ending: string, redirections: string, env: Record<string, string> = {}) {
  const command = `exec "$0" "$1" ${redirections}`;
  return spawnSync('/bin/sh', ['-c', command, program, ending], { env, encoding: 'utf8', timeout: DEADLINE_MS });
}

describe('a program that returns', () => {
  test('has its output written and its status 0', () => {
    expect(end('fine')).toMatchObject({ status: 0, stdout: '{"fine":"ü"}\n', stderr: '' });
  });

  test('may write nothing, as a DEL does', () => {
    expect(end('fine, silent')).toMatchObject({ status: 0, stdout: '' });
  });

  test('chooses its status and writes a note to stderr', () => {
    expect(end('error status')).toMatchObject({ status: 7, stdout: '{}\n', stderr: 'a note\n' });
  });

  test('continues after memory ran out and was freed', () => {
    expect(end('memory, caught')).toMatchObject({ status: 0, stdout: 'the memory came back\n' });
  });

  test('sees its environment', () => {
    const { stdout } = end('environment', { env: { A: 'one=ü', EMPTY: '' } });
    expect(JSON.parse(stdout)).toEqual(['one=ü', 'absent', ['A=one=ü', 'EMPTY=']]);
  });

  test.for(['child throws', 'child returns'])('keeps its output to itself when a %s', (ending) => {
    expect(end(ending)).toMatchObject({ status: 0, stdout: 'parent\n' });
  });
});

describe('a program that fails', () => {
  test.for([
    { ending: 'throw', stderr: 'Error: stop here' },
    { ending: 'throw null', stderr: 'null' },
    { ending: 'throw a thrower', stderr: 'no text' },
    { ending: 'recursion', stderr: 'RangeError: Maximum call stack size exceeded' },
    { ending: 'nested JSON', stderr: '' },
    { ending: 'memory', stderr: '' },
    { ending: 'one large string', stderr: '' },
    { ending: 'async call', stderr: 'TypeError' },
    { ending: 'async main', stderr: 'TypeError' },
    { ending: 'promise', stderr: 'ReferenceError: Promise is not defined' },
    { ending: 'no result', stderr: '' },
    { ending: 'null result', stderr: '' },
    { ending: 'number for stdout', stderr: '' },
    { ending: 'text for code', stderr: '' },
    { ending: 'code 256', stderr: '' },
    { ending: 'lone surrogate', stderr: '' },
    { ending: 'unknown', stderr: 'Error: no such ending' },
  ])('leaves an error object and exits 1 within a second: $ending', ({ ending, stderr }) => {
    const result = end(ending);
    expect(result).toMatchObject({ status: 1, signal: null });
    expect(result.stderr).toContain(stderr);
    const error = JSON.parse(result.stdout) as unknown;
    expect(error).toEqual({
      code: 999,
      msg: 'internal error',
      details: expect.stringMatching(/.; weft \d+\.\d+\.\d+\+[0-9a-f]{12}$/),
    });
    expect(result.stdout).toBe(`${JSON.stringify(error, null, 4)}\n`);
  });

  test('refuses an environment variable that is not UTF-8', () => {
    const command = 'B="$(printf "\\377")" exec "$0" environment';
    expect(spawnSync('/bin/sh', ['-c', command, program], { encoding: 'utf8' })).toMatchObject({
      status: 1,
      stderr: 'internal error: TypeError: bytes are not UTF-8\n',
    });
  });
});

describe('stdin', () => {
  test('is read to the end', () => {
    expect(end('stdin', { input: Buffer.alloc(4 << 20) })).toMatchObject({ status: 0, stdout: `${4 << 20}\n` });
  });

  test('of 5 MB is refused', () => {
    const result = end('stdin', { input: Buffer.alloc(5_000_000) });
    expect(result.status).toBe(1);
    expect(JSON.parse(result.stdout)).toMatchObject({ code: 999 });
  });

  test('may be closed', () => {
    expect(endInShell('stdin', '<&-')).toMatchObject({ status: 0, stdout: '0\n' });
  });
});

describe('stdout', () => {
  test.for([
    { name: 'closed', redirections: '>&-' },
    { name: 'closed with stdin and stderr', redirections: '<&- >&- 2>&-' },
    { name: 'full', redirections: '>/dev/full' },
    { name: 'only readable', redirections: '1</dev/null' },
  ])('that is $name makes the status 1', ({ redirections }) => {
    for (const ending of ['fine', 'throw', 'memory']) {
      expect(endInShell(ending, redirections)).toMatchObject({ status: 1, stdout: '' });
    }
  });

  test('whose reader is gone makes the status 1', async () => {
    const child = spawn(program, ['large output'], { stdio: ['ignore', 'pipe', 'ignore'] });
    child.stdout.destroy();
    const ended = await new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
    expect(ended).toEqual({ code: 1, signal: null });
  });

  test('that is non-blocking and read slowly gets everything', async () => {
    // Starts the program with a non-blocking pipe as stdout, which a reader empties with pauses.
    const nonblocking = `import fcntl, os, sys
fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK)
os.execv(sys.argv[1], sys.argv[1:])`;
    const child = spawn('python3', ['-c', nonblocking, program, 'large output'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let length = 0;
    for await (const chunk of child.stdout) {
      length += (chunk as Buffer).length;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(length).toBe(16 * 65_536);
    expect(
      await new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(child.exitCode))),
    ).toBe(0);
  });

  test('that is closed is not confused with a file that the program opens', () => {
    const file = join(executable.folder, 'file');
    const result = endInShell('open a file', '>&-', { FILE: file });
    expect(result.status).toBe(1);
    expect(existsSync(file)).toBe(false);
  });
});
