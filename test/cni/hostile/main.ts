// `npm run suite -- hostile`: thousands of calls no runtime makes, against the CNI executable under each of its names, in
// namespaces of their own with everything but the node's own folders read-only.

import { linkSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { netnsPath, Sandbox } from '../conformance/sandbox.ts';

const NAMES = ['flannel', 'bridge', 'host-local', 'loopback', 'portmap', 'bandwidth'];
const LIMIT_MS = 1_800_000;

interface Report {
  readonly counts: Readonly<Record<string, number>>;
  readonly findings: readonly string[];
}

/** As scripts/commands.mjs has them. */
interface Values {
  readonly calls: string;
  readonly seed: string;
  readonly first: string;
  readonly executable: string;
}

/** Returns the exit code: 0 when there is no finding. */
export async function main(values: Values): Promise<number> {
  const numbers = [values.seed, values.first, values.calls];
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
