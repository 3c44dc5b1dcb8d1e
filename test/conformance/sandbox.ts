// The machine of one case: a "host" and "container" network namespaces, and a mount namespace in which /run and
// /var/lib are empty, so that nothing of the real machine is seen or touched. Ends with the process that holds it.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CommandOptions, type CommandResult, mustRun, runCommand } from '../lab/command.ts';
import type { ChainPlace } from './driver.ts';

// $1 = the case's folder, $2 = the executables. They are bound before /run and /var/lib are hidden, as they may lie
// there. /sys is mounted anew because it shows the network namespace it was mounted in.
const SETUP = `set -e
mount --bind "$2" "$1/bin"
mount -t tmpfs conformance /run
mount -t tmpfs conformance /var/lib
mount -t sysfs conformance /sys
ip link set lo up
mkdir /run/netns
: > /run/netns/c1
unshare --net=/run/netns/c1 true
echo ready
exec cat`;

/** No call of a plugin may take longer; the slowest known (IPv6 with duplicate address detection) takes 2 s. */
const CALL_LIMIT_MS = 30_000;

/** By its full path: a plugin's environment may have no PATH. */
const nsenter = findProgram('nsenter');

function findProgram(name: string): string {
  const found = (process.env['PATH'] ?? '').split(':').find((dir) => {
    try {
      accessSync(join(dir, name));
      return true;
    } catch {
      return false;
    }
  });
  return found === undefined ? name : join(found, name);
}

/** Where the named container's network namespace is, inside the sandbox. */
export function netnsPath(container: string): string {
  return `/run/netns/${container}`;
}

export class Sandbox implements ChainPlace {
  /** A folder of its own, at the same path inside and outside; bin/ holds the executables, inside only. */
  readonly dir: string;
  readonly #holder: ChildProcess;

  private constructor(dir: string, holder: ChildProcess) {
    this.dir = dir;
    this.#holder = holder;
  }

  /** Makes one with the container namespace `c1`. Rejects with what the set-up script said when it failed. */
  static async open(executables: string): Promise<Sandbox> {
    const dir = mkdtempSync(join(tmpdir(), 'conformance-'));
    mkdirSync(join(dir, 'bin'));
    const unshare = ['--mount', '--net', '--propagation', 'private', '--', 'sh', '-c', SETUP, 'conformance-host'];
    const holder = spawn('unshare', [...unshare, dir, executables], { stdio: 'pipe' });
    let stderr = '';
    holder.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    const sandbox = new Sandbox(dir, holder);
    // 'close' comes without 'data' when the script failed.
    await Promise.race([once(holder.stdout, 'data'), once(holder, 'close')]);
    if (holder.exitCode === null && holder.signalCode === null) return sandbox;
    rmSync(dir, { recursive: true, force: true });
    throw new Error(`cannot make namespaces (root is needed): ${stderr.trim()}`);
  }

  /** The argv that runs `argv` on the host, or in a container's network namespace. */
  inside(argv: readonly string[], container?: string): string[] {
    const host = [nsenter, '--target', `${this.#holder.pid}`, '--mount', '--net', '--'];
    const further = container === undefined ? [] : [nsenter, `--net=${netnsPath(container)}`, '--'];
    return [...host, ...further, ...argv];
  }

  outside(path: string): string {
    return `/proc/${this.#holder.pid}/root${path}`;
  }

  /** Path of the host's own network namespace, valid inside and outside. */
  get hostNetns(): string {
    return `/proc/${this.#holder.pid}/ns/net`;
  }

  run(
    argv: readonly string[],
    options: CommandOptions & { container?: string | undefined } = {},
  ): Promise<CommandResult> {
    const { container, ...rest } = options;
    return runCommand(this.inside(argv, container), { timeoutMs: CALL_LIMIT_MS, ...rest });
  }

  /** As run, but a failure rejects. Resolves with stdout. */
  must(argv: readonly string[], container?: string): Promise<string> {
    return mustRun(this.inside(argv, container), { timeoutMs: CALL_LIMIT_MS });
  }

  async addContainer(name: string): Promise<void> {
    await this.must(['sh', '-c', `: > "$0" && unshare --net="$0" true`, netnsPath(name)]);
  }

  async removeContainer(name: string): Promise<void> {
    await this.must(['sh', '-c', `umount "$0" && rm "$0"`, netnsPath(name)]);
  }

  /** The kernel takes the namespaces down on its own time. */
  async close(): Promise<void> {
    if (this.#holder.exitCode === null && this.#holder.signalCode === null) {
      this.#holder.kill('SIGKILL');
      await once(this.#holder, 'close');
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}
