// A short run of `npm run suite -- hostile`, and a test that it notices executables that do what ours must not do.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

const repository = resolve(import.meta.dirname, '../..');

function hostile(...args: string[]): { status: number | null; stdout: string } {
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(repository, 'scripts/run.mjs'), 'suite', 'hostile', ...args],
    {
      encoding: 'utf8',
    },
  );
  return { status, stdout };
}

test('300 hostile calls are answered with one error each and leave nothing', () => {
  const { status, stdout } = hostile('--calls', '300', '--seed', '7');
  expect(stdout).toContain('300 calls, 0 findings');
  expect(status).toBe(0);
});

test.for([
  { name: 'succeeds without a result', script: 'exit 0', finding: /ADD succeeded with ""/ },
  { name: 'fails without a word', script: 'exit 1', finding: /stdout is not one JSON object/ },
  { name: 'says two objects', script: 'echo "{}{}"; exit 1', finding: /stdout is not one JSON object/ },
  { name: 'crashes', script: 'kill -SEGV $$', finding: /ended with SIGSEGV/ },
  { name: 'has no code', script: `echo '{"code":0,"msg":"x"}'; exit 1`, finding: /code is 0/ },
  {
    name: 'tells of its inside',
    script: `echo '{"code":999,"msg":"cannot read property of undefined"}'; exit 1`,
    finding: /msg is "cannot read property of undefined"/,
  },
  {
    name: 'leaves a device',
    script: `ip link add left$$ type veth; echo '{"code":999,"msg":"x"}'; exit 1`,
    finding: /left: .*device left/,
  },
  {
    name: 'leaves a file',
    script: `: >/run/left; echo '{"code":999,"msg":"x"}'; exit 1`,
    finding: /left: .*\/run\/left/,
  },
  {
    name: 'leaves an element of a map',
    script: `nft add table ip t; nft add set ip t s '{ type inet_service; }'; nft add element ip t s '{ 80 }'
      echo '{"code":999,"msg":"x"}'; exit 1`,
    finding: /left: .*elements = \{ 80 \}/,
  },
  {
    name: 'leaves an address in the pod',
    script: `ip -n c1 address add 10.1.2.9/24 dev lo; ip -n c1 link add left0 type veth
      echo '{"code":999,"msg":"x"}'; exit 1`,
    finding: /left: .*left0/,
  },
])('notices an executable that $name', ({ script, finding }) => {
  const folder = mkdtempSync(join(tmpdir(), `weft-bad-plugin-${process.pid}-`));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'plugin');
  writeFileSync(file, `#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\ncat >/dev/null\n${script}\n`, { mode: 0o755 });
  const { status, stdout } = hostile('--calls', '10', '--executable', file);
  expect(stdout).toMatch(finding);
  expect(status).toBe(1);
});
