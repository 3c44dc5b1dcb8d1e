// `npm run test:hostile`: thousands of calls no runtime makes, against the CNI executable under each of its names, in
// namespaces of their own with everything but the node's own folders read-only.

import { linkSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { netnsPath, Sandbox } from '../conformance/sandbox.ts';

const USAGE = `npm run test:hostile -- [--calls N] [--seed N] [--first N] [--executable FILE]
  --calls N   how many (5000)
  --seed N    other numbers make other calls (1)
  --first N   number of the first call, to repeat a finding: --first 1234 --calls 1
`;
const NAMES = ['flannel', 'bridge', 'host-local', 'loopback', 'portmap', 'bandwidth'];
const LIMIT_MS = 1_800_000;

interface Report {
  readonly counts: Readonly<Record<string, number>>;
  readonly findings: readonly string[];
}

/** Returns the exit code: 0 when there is no finding. */
export async function main(argv: readonly string[], builtExecutable: string): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      calls: { type: 'string', default: '5000' },
      seed: { type: 'string', default: '1' },
      first: { type: 'string', default: '0' },
      executable: { type: 'string', default: builtExecutable },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const numbers = [values.seed, values.first, values.calls];
  for (const text of numbers) if (!/^\d{1,9}$/.test(text)) throw new Error(`expected a whole number, got "${text}"`);
  const { counts, findings } = await runCalls(resolve(values.executable), numbers);
  for (const finding of findings) process.stdout.write(`FINDING ${finding}\n`);
  const kinds = Object.entries(counts).toSorted(([a], [b]) => a.localeCompare(b));
  for (const [kind, count] of kinds) process.stdout.write(`${String(count).padStart(7)}  ${kind}\n`);
  process.stdout.write(`${values.calls} calls, ${findings.length} findings\n`);
  return findings.length === 0 ? 0 : 1;
}

async function runCalls(executable: string, numbers: readonly string[]): Promise<Report> {
  const bin = mkdtempSync(join(tmpdir(), `weft-hostile-${process.pid}-`));
  try {
    await copyFile(executable, join(bin, 'flannel'));
    for (const name of NAMES.slice(1)) linkSync(join(bin, 'flannel'), join(bin, name));
    const sandbox = await Sandbox.open(bin);
    try {
      mkdirSync(join(sandbox.dir, 'node'));
      return await runInside(sandbox, numbers);
    } finally {
      await sandbox.close();
    }
  } finally {
    rmSync(bin, { recursive: true, force: true });
  }
}

/** A call may name any path, so that all but the node's folders is made read-only first; delegates find nothing new. */
const READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"';

async function runInside(sandbox: Sandbox, numbers: readonly string[]): Promise<Report> {
  const program = fileURLToPath(new URL('hostile-runner.mjs', import.meta.url));
  const argv = [process.execPath, program, sandbox.dir, netnsPath('c1'), ...numbers];
  const isolated = ['unshare', '--mount', '--', 'sh', '-c', READ_ONLY, join(sandbox.dir, 'node'), ...argv];
  const { exitCode, stdout, stderr } = await sandbox.run(isolated, { timeoutMs: LIMIT_MS });
  if (exitCode !== 0) throw new Error(`the runner ended with ${exitCode}: ${stderr}`);
  return JSON.parse(stdout) as Report;
}
