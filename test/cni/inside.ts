// Runs a program inside a sandbox, in a Node process of its own, so that the calls it makes need no nsenter(1).

import { linkSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { builtPlugins } from '../lab/programs.ts';
import { compileForNode } from '../support/node-program.ts';
import { Sandbox } from './conformance/sandbox.ts';

const LIMIT_MS = 1_800_000;

/** A folder with the executable under each of its names. It is removed when the running test ends. */
export async function executablesFolder(names: readonly string[], executable = join(builtPlugins, 'flannel')) {
  const folder = mkdtempSync(join(tmpdir(), `weft-bin-${process.pid}-`));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [first = 'flannel', ...others] = names;
  await copyFile(executable, join(folder, first));
  for (const name of others) linkSync(join(folder, first), join(folder, name));
  return folder;
}

export interface InsideOptions {
  /** The folder of executables, which is bin/ in the sandbox's folder. */
  readonly executables: string;
  /** The text of subnet.env in the sandbox's folder. */
  readonly subnetEnv?: string;
  /** Prepares the sandbox. */
  readonly prepare?: (sandbox: Sandbox) => Promise<void> | void;
  /** A command with arguments, to which the program is appended. */
  readonly before?: (sandbox: Sandbox) => readonly string[];
}

/** Runs `entry`, a TypeScript program, with `args` after the sandbox's folder. Resolves with the JSON that it prints. */
export async function runInside<T>(entry: string, args: readonly string[], options: InsideOptions): Promise<T> {
  const program = await compileForNode(entry);
  onTestFinished(() => program.remove());
  const sandbox = await Sandbox.open(options.executables);
  try {
    if (options.subnetEnv !== undefined) writeFileSync(join(sandbox.dir, 'subnet.env'), options.subnetEnv);
    await options.prepare?.(sandbox);
    const before = options.before?.(sandbox) ?? [];
    const argv = [...before, process.execPath, program.path, sandbox.dir, ...args];
    const { exitCode, signal, stdout, stderr } = await sandbox.run(argv, { timeoutMs: LIMIT_MS });
    if (exitCode !== 0) throw new Error(`${entry} ended with ${exitCode ?? signal}: ${stderr.trim()}`);
    return JSON.parse(stdout) as T;
  } finally {
    await sandbox.close();
  }
}

/** subnet.env of a node that has this subnet of 10.9.0.0/16. */
export function subnetEnv(subnet: string): string {
  return `FLANNEL_NETWORK=10.9.0.0/16\nFLANNEL_SUBNET=${subnet}\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n`;
}
