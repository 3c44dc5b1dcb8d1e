// Network namespaces for tests: each held by a process, nothing in /run/netns, gone when it is killed.

import { execFileSync, spawn, spawnSync } from 'node:child_process';

export interface HeldNetns {
  readonly pid: number;
  /** What setns takes. */
  readonly path: string;
  /** Runs a command inside and returns its stdout; throws when it fails. */
  run(command: string, ...args: string[]): string;
  /** The parsed JSON a command such as `ip -j` prints; an empty answer is an empty list. */
  json(command: string, ...args: string[]): Record<string, unknown>[];
  remove(): void;
}

/** Makes a namespace with its loopback down. Register `remove` where it is called. */
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
