// The machine of one case: network namespaces for a "host" and for containers, and a mount namespace in which /run and /var/lib are
// empty, so that a case neither sees nor changes the real machine. It ends when the process that holds it ends.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CommandOptions, type CommandResult, mustRun, runCommand } from '../../lab/command.ts';
import type { ChainPlace } from './driver.ts';

// $1 is the case's folder, $2 the folder of executables. Both are bind-mounted before /run and /var/lib are hidden, because they may
// lie there. /sys is mounted again, because it shows the network namespace in which it was mounted.
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

/** The longest a plugin call may take. The slowest one known (IPv6 with duplicate address detection) takes 2 s. */
const CALL_LIMIT_MS = 30_000;

/** nsenter's full path, which is needed because a plugin's environment may have no PATH. */
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

/** The path, inside the sandbox, of the network namespace of the container with this name. */
export function netnsPath(container: string): string {
  return `/run/netns/${container}`;
}

export class Sandbox implements ChainPlace {
  /** The case's folder, at the same path inside and outside. Only inside, bin/ contains the executables. */
  readonly dir: string;
  readonly #holder: ChildProcess;

  private constructor(dir: string, holder: ChildProcess) {
    this.dir = dir;
    this.#holder = holder;
  }

  /** Makes a sandbox with a container namespace `c1`. Rejects with the set-up script's error when that fails. */
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
    // A script that fails closes its output without having written anything.
    await Promise.race([once(holder.stdout, 'data'), once(holder, 'close')]);
    if (holder.exitCode === null && holder.signalCode === null) return sandbox;
    rmSync(dir, { recursive: true, force: true });
    throw new Error(`cannot make namespaces (root is needed): ${stderr.trim()}`);
  }

  /** The command that runs `argv` on the host or in a container's network namespace. */
  inside(argv: readonly string[], container?: string): string[] {
    const host = [nsenter, '--target', `${this.#holder.pid}`, '--mount', '--net', '--'];
    const further = container === undefined ? [] : [nsenter, `--net=${netnsPath(container)}`, '--'];
    return [...host, ...further, ...argv];
  }

  outside(path: string): string {
    return `/proc/${this.#holder.pid}/root${path}`;
  }

  /** The path of the host's network namespace, valid inside and outside. */
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

  /** Like `run`, but rejects when the command fails. Resolves with its stdout. */
  must(argv: readonly string[], container?: string): Promise<string> {
    return mustRun(this.inside(argv, container), { timeoutMs: CALL_LIMIT_MS });
  }

  async addContainer(name: string): Promise<void> {
    await this.must(['sh', '-c', `: > "$0" && unshare --net="$0" true`, netnsPath(name)]);
  }

  async removeContainer(name: string): Promise<void> {
    await this.must(['sh', '-c', `umount "$0" && rm "$0"`, netnsPath(name)]);
  }

  /** Ends the sandbox. The kernel removes the namespaces some time later. */
  async close(): Promise<void> {
    if (this.#holder.exitCode === null && this.#holder.signalCode === null) {
      this.#holder.kill('SIGKILL');
      await once(this.#holder, 'close');
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}
