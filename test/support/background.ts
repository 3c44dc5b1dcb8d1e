// Server processes of a test. They end with the test's own process, whatever happens to it, and report why they ended.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { slowed } from './slowness.ts';

/** Looks for `name` in KUBEBUILDER_ASSETS and then on PATH, as envtest does. Returns undefined when it is in neither. */
export function findServer(name: string): string | undefined {
  const { KUBEBUILDER_ASSETS, PATH } = process.env;
  return [KUBEBUILDER_ASSETS ?? '', ...(PATH ?? '').split(':')]
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));
}

/** The same for a program that must be there. */
export function requireServer(name: string): string {
  const found = findServer(name);
  if (found === undefined) throw new Error(`needs ${name} in KUBEBUILDER_ASSETS or on PATH`);
  return found;
}

export class Background {
  readonly #child: ChildProcess;
  #output = '';

  constructor(argv: readonly [string, ...string[]]) {
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString('utf8')).slice(-4000);
      });
    }
  }

  /** The last part of what the process wrote. */
  get output(): string {
    return this.#output;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The exit code; null while the process runs, or when a signal ended it. */
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(name);
  }

  async stop(name: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
    if (this.hasEnded) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill(name);
    await ended;
  }

  /** Waits until `isReady` returns true. Rejects with the program's own output when it ends before that or takes too long. */
  async ready(isReady: () => Promise<boolean>, timeoutMs: number): Promise<void> {
    const endAt = performance.now() + slowed(timeoutMs);
    while (!(await isReady().catch(() => false))) {
      if (this.hasEnded || performance.now() > endAt) {
        throw new Error(`server ${this.hasEnded ? 'ended' : 'is not ready'}: ${this.#output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Returns ports on loopback that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
