import { describe, expect, test } from 'vitest';
import { ExecError, execProgram } from './exec-node.ts';

const node = process.execPath;

async function failure(argv: readonly [string, ...string[]], timeoutMs = 20_000): Promise<ExecError> {
  const error = await execProgram(argv, { timeoutMs }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ExecError)) throw new Error(`expected an ExecError, got ${String(error)}`);
  return error;
}

describe('execProgram', () => {
  test('passes the input and returns both outputs', async () => {
    const script = 'process.stdin.pipe(process.stdout); process.stderr.write("said")';
    const result = await execProgram([node, '-e', script], { input: 'wörds\n', timeoutMs: 20_000 });
    expect(result).toEqual({ stdout: 'wörds\n', stderr: 'said' });
  });

  test('names the program, its exit code and its first line of output', async () => {
    const error = await failure([node, '-e', 'console.error("no such table\\nmore"); process.exit(3)']);
    expect(error.code).toBe('exit 3');
    expect(error.message).toMatch(/^exec: .* -e .*: exit 3 \(no such table\)$/);
    expect(error.stderr).toBe('no such table\nmore\n');
  });

  test('says that a program is not installed', async () => {
    const error = await failure(['weft-no-such-program', 'x']);
    expect(error.message).toBe('exec: weft-no-such-program x: ENOENT (weft-no-such-program is not installed)');
  });

  test('kills a program at its deadline', async () => {
    const error = await failure([node, '-e', 'setInterval(() => {}, 1000)'], 100);
    expect(error.code).toBe('timeout');
  });

  test('kills a program when aborted, also when aborted before the start', async () => {
    const signal = AbortSignal.abort();
    const run = execProgram([node, '-e', 'setInterval(() => {}, 1000)'], { timeoutMs: 20_000, signal });
    await expect(run).rejects.toMatchObject({ code: 'aborted' });
  });

  test('stops a program that floods', async () => {
    const flood = 'const b = Buffer.alloc(1 << 20); for (;;) require("fs").writeSync(1, b)';
    const error = await failure([node, '-e', flood]);
    expect(error.code).toBe('output too large');
  });

  test('accepts a program that does not read its input', async () => {
    const input = 'x'.repeat(1 << 20);
    const result = await execProgram([node, '-e', 'process.exit(0)'], { input, timeoutMs: 20_000 });
    expect(result.stdout).toBe('');
  });
});
