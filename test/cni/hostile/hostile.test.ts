// Calls that no runtime makes, for the CNI executable under each of its names, in namespaces of their own where everything except the
// node's own folders is read-only. `npm run suite -- hostile` makes more of them than `npm test`. Executables with planted faults show that
// a fault would be noticed.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { suiteNumber, suiteOption } from '../../support/suite-options.ts';
import { netnsPath } from '../conformance/sandbox.ts';
import { executablesFolder, runInside } from '../inside.ts';

const NAMES = ['flannel', 'bridge', 'host-local', 'loopback', 'portmap', 'bandwidth'];
const calls = suiteNumber('calls', 300);
const seed = suiteNumber('seed', 7);
const first = suiteNumber('first', 0);
const timeout = 1_800_000;

/** A call may name any path, so everything except the node's folders is made read-only first. */
const READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"';

interface Report {
  /** How many calls ended in each way. */
  readonly counts: Readonly<Record<string, number>>;
  readonly findings: readonly string[];
}

async function hostile(numbers: readonly number[], executable?: string): Promise<Report> {
  return await runInside<Report>(join(import.meta.dirname, 'main.ts'), [netnsPath('c1'), ...numbers.map(String)], {
    executables: await executablesFolder(NAMES, executable),
    prepare: (sandbox) => void mkdirSync(join(sandbox.dir, 'node')),
    before: ({ dir }) => ['unshare', '--mount', '--', 'sh', '-c', READ_ONLY, join(dir, 'node')],
  });
}

test(`${calls} hostile calls each get one error and leave nothing behind`, { timeout }, async () => {
  const { counts, findings } = await hostile([seed, first, calls], suiteOption('executable'));
  process.stdout.write(`${JSON.stringify(counts)}\n`);
  expect(findings).toEqual([]);
  const { bridges = 0, ...answers } = counts;
  expect(
    Object.values(answers).reduce((sum, count) => sum + count, 0),
    `${bridges} bridges`,
  ).toBe(calls);
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
])('notices an executable that $name', async ({ script, finding }) => {
  const folder = mkdtempSync(join(tmpdir(), `weft-bad-plugin-${process.pid}-`));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'plugin');
  writeFileSync(file, `#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\ncat >/dev/null\n${script}\n`, { mode: 0o755 });
  const { findings } = await hostile([1, 0, 10], file);
  expect(findings.join('\n')).toMatch(finding);
});
