// Network namespaces for tests. Each is held by a process, has no name in /run/netns, and disappears when the process is killed.

import { execFileSync, spawn, spawnSync } from 'node:child_process';

export interface HeldNetns {
  readonly pid: number;
  /** A path that setns takes. */
  readonly path: string;
  /** Runs a command in the namespace and returns its stdout. Throws when the command fails. */
  run(command: string, ...args: string[]): string;
  /** Returns the parsed JSON that a command such as `ip -j` prints. No output means an empty list. */
  json(command: string, ...args: string[]): Record<string, unknown>[];
  remove(): void;
}

/** Makes a namespace in which loopback is down. Register `remove` where it is called. */
export async function holdNetns(): Promise<HeldNetns> {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo up; exec sleep 600'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve, reject) => {
    holder.stdout.once('data', resolve);
    holder.once('error', reject);
    holder.once('exit', () => reject(new Error('no network namespace: is this root?')));
  });
  const { pid } = holder;
  if (pid === undefined) throw new Error('the holder of a network namespace has no pid');
  const enter = ['-t', String(pid), '-n'];
  const run = (command: string, ...args: string[]): string =>
    execFileSync('nsenter', [...enter, command, ...args], { encoding: 'utf8', maxBuffer: 1 << 28 });
  return {
    pid,
    path: `/proc/${pid}/ns/net`,
    run,
    json(command, ...args) {
      const text = run(command, ...args);
      return text.trim() === '' ? [] : (JSON.parse(text) as Record<string, unknown>[]);
    },
    remove() {
      spawnSync('kill', ['-9', String(pid)]);
    },
  };
}
