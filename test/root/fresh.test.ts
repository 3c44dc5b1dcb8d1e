// A command that runs as on a fresh machine (scripts/fresh.mjs) finds what set-up installs and nothing else that was installed.

import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { needs } from '../support/needs.ts';

const WITHOUT_MOUNTS = ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin', '--'];
const FRESH = resolve(import.meta.dirname, '../../scripts/fresh.mjs');

beforeEach(() => needs.setUp(process.getuid?.() === 0, 'root'));

/** Makes a folder on PATH with a program that belongs to no package. */
function makeForeign(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weft-foreign,-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const name of ['weft-foreign', 'ip']) writeFileSync(join(folder, name), '#!/bin/sh\necho foreign\n');
  for (const name of ['weft-foreign', 'ip']) chmodSync(join(folder, name), 0o755);
  return folder;
}

function run(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { status: number | null; said: string } {
  const [file = '', ...args] = argv;
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8', env: { ...process.env, ...env } });
  return { status, said: stdout + stderr };
}

test('programs of packages that set-up does not install are absent; those it installs and Node’s are there', () => {
  const folder = makeForeign();
  const env = { PATH: `${folder}${delimiter}${process.env['PATH']}`, KUBEBUILDER_ASSETS: folder, CNI_PATH: folder };
  const script = `command -v weft-foreign; echo "<$KUBEBUILDER_ASSETS$CNI_PATH>"; ls -A '${folder}'
    for name in sh ip nft iptables g++ strace etcd awk node npm; do command -v $name >/dev/null || echo "no $name"; done
    command -v ip; ls -A /usr/lib/cni /opt/cni/bin 2>/dev/null; exit 7`;
  const ip = run(['sh', '-c', 'command -v ip']).said;
  const control = run(['sh', '-c', script], env);
  expect(control.said).toContain(`${folder}/weft-foreign\n<${folder}${folder}>\nip\nweft-foreign\n`);
  const { status, said } = run([process.execPath, FRESH, 'sh', '-c', script], env);
  expect(said.replace(/^\/(usr\/lib\/cni|opt\/cni\/bin):\n|^\n/gm, '')).toBe(`<>\n${ip}`);
  expect(status).toBe(7);
  expect(readdirSync(folder).sort()).toEqual(['ip', 'weft-foreign']);
});

test('where mounts are not allowed, nothing is run and the reason is printed', () => {
  const { status, said } = run([...WITHOUT_MOUNTS, process.execPath, FRESH, 'echo', 'ran']);
  expect(said).toMatch(/^fresh machine: cannot make a mount namespace: .*Operation not permitted; nothing was run\n$/);
  expect(status).toBe(1);
});

/** Makes a clone whose set-up has nothing to do and whose `npm test` and vitest are small scripts. */
function makeClone(npmTest: string): string {
  const clone = mkdtempSync(join(tmpdir(), 'weft-ci-clone-'));
  onTestFinished(() => rmSync(clone, { recursive: true }));
  for (const folder of ['scripts', '.ci', 'node_modules/vitest', 'elsewhere'])
    mkdirSync(join(clone, folder), { recursive: true });
  for (const name of ['ci', 'command', 'fresh', 'tally'])
    copyFileSync(resolve(FRESH, `../${name}.mjs`), join(clone, `scripts/${name}.mjs`));
  copyFileSync(resolve(FRESH, '../../.ci/run'), join(clone, '.ci/run'));
  writeFileSync(join(clone, 'package.json'), JSON.stringify({ type: 'module', scripts: { test: npmTest } }));
  writeFileSync(
    join(clone, 'scripts/setup.mjs'),
    'export const PACKAGES = { bash: "bash" };\nexport function setUp() { return true; }\n',
  );
  writeFileSync(join(clone, 'elsewhere/kubectl'), '#!/bin/sh\necho ok\n', { mode: 0o755 });
  // Writes what vitest and the reporter would write for one test that needs kubectl.
  writeFileSync(
    join(clone, 'node_modules/vitest/vitest.mjs'),
    `import { spawnSync } from 'node:child_process';
     import { writeFileSync } from 'node:fs';
     const found = spawnSync('kubectl').status === 0;
     const more = found ? { state: process.env.OUTCOME } : { state: 'skipped', reason: 'needs kubectl on PATH' };
     const tests = [{ file: 'a', names: ['base'], state: 'passed' }, { file: 'a', names: ['more'], ...more }];
     console.log('ran', process.argv.slice(2).join(' '), found ? 'with kubectl' : 'without');
     if (!process.argv.includes('silent')) writeFileSync(process.env.WEFT_RESULTS, JSON.stringify({ failures: 0, tests }));`,
  );
  return clone;
}

function ci(clone: string, env: Record<string, string>): { status: number | null; lines: string[] } {
  const path = `${join(clone, 'elsewhere')}:${process.env['PATH']}`;
  const { status, said } = run(['bash', join(clone, '.ci/run')], { PATH: path, WEFT_RESULTS: '', ...env });
  return {
    status,
    lines: said
      .trimEnd()
      .split('\n')
      .filter((line) => line !== ''),
  };
}

const ROW = 'node node_modules/vitest/vitest.mjs';
const rows = [
  { name: 'all pass', npmTest: ROW, outcome: 'passed', last: '2 passed, 0 failed', status: 0 },
  {
    name: 'one fails that a fresh machine cannot run',
    npmTest: ROW,
    outcome: 'failed',
    last: '1 passed, 1 failed',
    status: 1,
  },
  {
    name: 'npm test leaves no result',
    npmTest: `${ROW} silent`,
    outcome: 'passed',
    last: '0 passed, 1 failed',
    status: 1,
  },
  {
    name: 'npm test ends with another code than its results say',
    npmTest: `${ROW}; exit 3`,
    outcome: 'passed',
    last: '2 passed, 1 failed',
    status: 1,
  },
];

test.for(rows)('.ci/run: $name', ({ npmTest, outcome, last, status }) => {
  const run = ci(makeClone(npmTest), { OUTCOME: outcome });
  expect(run.lines.filter((line) => line.startsWith('ran'))).toEqual(
    npmTest.includes('silent')
      ? ['ran silent without']
      : ['ran  without', 'ran run a --testNamePattern ^(more)$ with kubectl'],
  );
  expect(run.lines.at(-1)).toBe(last);
  expect(run.status).toBe(status);
});

test('.ci/run: where mounts are not allowed, it says so and fails without running tests', () => {
  const clone = makeClone(ROW);
  const { status, said } = run([...WITHOUT_MOUNTS, 'sh', '-c', `bash '${clone}/.ci/run' 2>&1`]);
  expect(said).toMatch(/^\.ci\/run: cannot make a mount namespace: .*; nothing was run$/m);
  expect(said).not.toContain('ran ');
  expect(said.trimEnd().split('\n').at(-1)).toBe('0 passed, 1 failed');
  expect(status).toBe(1);
});
