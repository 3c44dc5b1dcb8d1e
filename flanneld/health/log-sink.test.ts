import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { buildSync } from 'esbuild';
import { describe, expect, onTestFinished, test } from 'vitest';

const folder = import.meta.dirname;

/** A program that logs. It is bundled first, because a child process does not have vitest's loader. */
function programOf(body: string): string {
  const script = `
    const { createLogger } = await import('./log.ts');
    const { stderrSink } = await import('./log-sink.ts');
    const { openKoffiSyscalls } = await import('../../lib/sys/koffi.ts');
    const logger = createLogger('info', stderrSink(openKoffiSyscalls()));
    ${body}`;
  const built = buildSync({
    stdin: { contents: script, resolveDir: folder },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    packages: 'external',
  });
  return built.outputFiles[0]?.text ?? '';
}

describe('stderrSink', () => {
  test('has written every line when the process ends immediately, and survives a closed stderr', () => {
    const program = programOf(`for (let n = 0; n < 1000; n++) logger.info({ n }, 'line'); process.exit(7);`);
    const run = (shell: string) =>
      spawnSync('sh', ['-c', shell, 'sh', process.execPath, program], { cwd: folder, encoding: 'utf8' });
    const all = run('"$1" --input-type=module -e "$2"');
    expect(all.stderr.trim().split('\n')).toHaveLength(1000);
    expect(all.status).toBe(7);
    expect(run('"$1" --input-type=module -e "$2" 2>&-').status).toBe(7);
  });

  test('does not wait for a reader that has stopped reading, and later logs how many lines were lost', async () => {
    const program = programOf(`
      for (let n = 0; n < 2000; n++) logger.info({ n, text: 'x'.repeat(100) }, 'line');
      process.stdout.write('through');
      process.stdin.once('data', () => { logger.info({}, 'the last'); process.exit(0); });`);
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: folder });
    onTestFinished(() => void child.kill('SIGKILL'));
    // Nobody reads the child's stderr; the kernel buffers 64 KiB of it and Node some more.
    child.stderr.pause();
    await once(child.stdout, 'data');
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.stderr.resume();
    await once(child.stderr, 'data');
    await new Promise((resolve) => setTimeout(resolve, 100));
    child.stdin.write('go on');
    await once(child, 'close');
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { msg: string; lines?: number });
    const kept = lines.filter(({ msg }) => msg === 'line').length;
    expect(lines.slice(-2)).toMatchObject([{ lines: 2000 - kept }, { msg: 'the last' }]);
    expect(kept).toBeLessThan(2000);
  });

  test('writes terminal commands and bidirectional controls as escapes', () => {
    const program = programOf(String.raw`logger.info({ peer: 'a\u001b[2J\u009b31m\u202eb' }, 'line');`);
    const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(stderr).toContain(String.raw`"peer":"a\u001b[2J\u009b31m\u202eb"`);
  });
});
