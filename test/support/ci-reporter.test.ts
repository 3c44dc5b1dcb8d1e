import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';

const repository = resolve(import.meta.dirname, '../..');

interface Run {
  exit: number | null;
  lines: string[];
}

interface Case {
  name: string;
  files: Record<string, string>;
  args?: string[];
  env?: Record<string, string>;
  exit: number;
  want: string[];
}

/** Runs a vitest of its own over the given files, with the reporter under test, and returns its exit code and output lines. */
function runVitest({ files, args = [], env = {} }: Case): Run {
  const root = mkdtempSync(join(tmpdir(), `weft-reporter-${process.pid}-`));
  onTestFinished(() => rmSync(root, { recursive: true }));
  symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'));
  symlinkSync(join(repository, 'test/support/needs.ts'), join(root, 'needs.ts'));
  const header = `import { beforeAll, beforeEach, afterAll, describe, expect, test } from 'vitest';\nimport { needs } from './needs.ts';\n`;
  for (const [name, body] of Object.entries(files)) {
    mkdirSync(join(root, name, '..'), { recursive: true });
    writeFileSync(join(root, name), name.endsWith('.test.ts') ? header + body : body);
  }
  const reporter = join(repository, 'test/support/ci-reporter.ts');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      join(repository, 'node_modules/vitest/vitest.mjs'),
      'run',
      '--root',
      root,
      '--reporter=dot',
      `--reporter=${reporter}`,
      ...args,
    ],
    {
      encoding: 'utf8',
      env: {
        ...process.env,
        NO_COLOR: '1',
        VITEST: undefined,
        WEFT_FAILED_CHECKS: undefined,
        WEFT_RESULTS: undefined,
        ...env,
      },
      timeout: 30_000,
    },
  );
  const lines = stdout.replace(/\n$/, '').split('\n');
  if (lines.length < 2) throw new Error(`no output from vitest: ${stdout}${stderr}`);
  return { exit: status, lines };
}

const passing = `test('passes', () => {});`;

const cases: Case[] = [
  {
    name: 'a green run counts its tests and says nothing of skips',
    files: { 'a.test.ts': passing, 'b.test.ts': `describe('x', () => { describe('y', () => { ${passing} }); });` },
    exit: 0,
    want: ['2 passed, 0 failed'],
  },
  {
    name: 'a failed test, an import error, a failed hook and a late rejection are four failures',
    files: {
      'pass.test.ts': `${passing} test.todo('later');`,
      'fail.test.ts': `test('fails', () => { expect(1).toBe(2); });`,
      'import.test.ts': `import './not-there.ts'; ${passing}`,
      'hook.test.ts': `beforeAll(() => { throw new Error('no'); }); ${passing}`,
      'late.test.ts': `test('late', async () => { Promise.reject(new Error('late')); await new Promise((r) => setTimeout(r, 20)); });`,
    },
    exit: 1,
    want: [
      'skipped 1: a hook or the file around them failed',
      'skipped 1: not selected, not reached or skipped without a reason',
      '2 passed, 4 failed, 2 skipped',
    ],
  },
  {
    name: 'a failed beforeAll deep inside is one failure',
    files: {
      'a.test.ts': `describe('x', () => { beforeAll(() => { throw new Error('no'); }); describe('y', () => { ${passing} }); });`,
    },
    exit: 1,
    want: ['skipped 1: a hook or the file around them failed', '0 passed, 1 failed, 1 skipped'],
  },
  {
    name: 'a failed afterAll is a failure beside the tests that passed',
    files: { 'a.test.ts': `afterAll(() => { throw new Error('no'); }); ${passing}` },
    exit: 1,
    want: ['1 passed, 1 failed'],
  },
  {
    name: 'a worker that dies is a failure',
    files: { 'a.test.ts': `test('dies', () => { process.kill(process.pid, 'SIGKILL'); });`, 'b.test.ts': passing },
    exit: 1,
    want: ['skipped 1: not selected, not reached or skipped without a reason', '1 passed, 1 failed, 1 skipped'],
  },
  {
    name: 'a global set-up that fails is a failure',
    files: {
      'a.test.ts': passing,
      'set-up.mjs': `export default () => { throw new Error('no'); };`,
      'vitest.config.mjs': `export default { test: { globalSetup: './set-up.mjs' } };`,
    },
    exit: 1,
    want: ['0 passed, 1 failed'],
  },
  {
    name: 'an exit code set after the run is not reported as 0 failed',
    files: {
      'a.test.ts': passing,
      'set-up.mjs': `export default () => () => { process.exitCode = 3; };`,
      'vitest.config.mjs': `export default { test: { globalSetup: './set-up.mjs' } };`,
    },
    exit: 3,
    want: ['1 passed, 1 failed'],
  },
  {
    name: 'a run that matches no file is a failure',
    files: { 'a.test.ts': passing },
    args: ['nothing-like-it'],
    exit: 1,
    want: ['0 passed, 1 failed'],
  },
  {
    name: 'checks that failed before it are failures of a run whose tests all pass',
    files: { 'a.test.ts': passing },
    env: { WEFT_FAILED_CHECKS: 'tsc knip' },
    exit: 1,
    want: ['checks failed: tsc, knip', '1 passed, 2 failed'],
  },
  {
    name: 'a need stated outside a test is a failure, not a skip',
    files: { 'a.test.ts': `describe('x', () => { needs.machine(false, 'vxlan'); ${passing} });` },
    exit: 1,
    want: ['0 passed, 1 failed'],
  },
  {
    name: 'what the machine lacks is skipped with its reason, also under CI; what set-up provides fails',
    files: {
      'a.test.ts': `
        describe('each', () => {
          beforeEach(() => { needs.machine(false, 'wireguard in the kernel'); });
          test('one', () => { throw new Error('ran'); });
          test('two', () => { throw new Error('ran'); });
        });
        test('inside', () => { needs.machine(false, 'bridge in /opt/cni/bin'); throw new Error('ran'); });
        test('has both', () => { needs.machine(true, 'x'); needs.setUp(true, 'y'); });
        test('set-up', () => { needs.setUp(false, 'nft'); });`,
    },
    exit: 1,
    want: [
      'skipped 2: needs wireguard in the kernel',
      'skipped 1: needs bridge in /opt/cni/bin',
      '1 passed, 1 failed, 3 skipped',
    ],
  },
];

describe('the closing line', () => {
  test.for(cases)('$name', { timeout: 60_000 }, (given) => {
    const { exit, want } = given;
    const run = runVitest(given);
    const closing = run.lines.slice(-want.length);
    expect(closing.at(-1)).toBe(want.at(-1));
    expect(new Set(closing)).toEqual(new Set(want));
    expect(run.exit).toBe(exit);
  });
});

test('with WEFT_RESULTS, a run writes a file with the result of each test, and no closing line', () => {
  const results = join(tmpdir(), `weft-results-${process.pid}.json`);
  onTestFinished(() => rmSync(results, { force: true }));
  const { lines } = runVitest({
    name: '',
    files: {
      'a.test.ts': `describe('x y', () => { ${passing} test('lacks', () => { needs.machine(false, 'tun'); }); });`,
      'b.test.ts': `import './not-there.ts'; ${passing}`,
    },
    env: { WEFT_RESULTS: results, WEFT_FAILED_CHECKS: 'tsc' },
    exit: 1,
    want: [],
  });
  expect(lines.join('\n')).not.toMatch(/^\d+ passed/m);
  expect(JSON.parse(readFileSync(results, 'utf8'))).toEqual({
    failures: 2,
    tests: [
      { file: 'a.test.ts', names: ['x y', 'passes'], state: 'passed' },
      { file: 'a.test.ts', names: ['x y', 'lacks'], state: 'skipped', reason: 'needs tun' },
    ],
  });
}, 60_000);
