// Runs path-load.c, the program that puts load on a path, in network namespaces.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { runCommand } from '../../test/lab/command.ts';
import { slowed } from '../../test/support/slowness.ts';

const LIMIT_MS = 20_000;

/** What path-load measures. */
export type LoadMode = 'tcp' | 'udp' | 'connect' | 'stream' | 'first';

export interface Loaded {
  /** Exchanges a second; Gbit/s for `stream`, microseconds for `first`. */
  readonly rate: number;
  /** Seconds of work of all processors for each exchange; for each GB with `stream`. */
  readonly processor: number;
}

export interface LoadSpec {
  readonly mode: LoadMode;
  readonly port: number;
  /** The only processor for the client; undefined for any. */
  readonly cpu: number | undefined;
  readonly netns: string;
  readonly to: string;
  readonly seconds: number;
  /** How many runs the seconds are divided into; the result is that of the best one. Absent: one. */
  readonly times?: number;
  /** The congestion control of TCP; the machine's own when absent. */
  readonly congestion?: string;
}

export class PathLoad {
  readonly #program: string;

  constructor(program: string) {
    this.#program = program;
  }

  /** Starts a server and resolves when it listens. The server ends with this process. */
  async serve(netns: string, port: number, cpu: number | undefined): Promise<{ stop(): void }> {
    const inside = ['nsenter', `--net=${netns}`, '--', this.#program, 'serve', `${port}`, `${cpu ?? -1}`];
    // A process group of its own, because it answers in several processes.
    const server = spawn('setsid', inside, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ready = once(server.stdout, 'data').then(() => true);
    if (!(await Promise.race([ready, once(server, 'close').then(() => false)])))
      throw new Error(`${inside.join(' ')} ended`);
    return { stop: () => void process.kill(-(server.pid ?? 0), 'SIGKILL') };
  }

  async run({ mode, port, cpu, netns, to, seconds, times = 1, congestion }: LoadSpec): Promise<Loaded> {
    const args = [mode, `${port}`, `${cpu ?? -1}`, to, `${seconds}`, `${times}`];
    if (congestion !== undefined) args.push(congestion);
    const [rate, processor] = (await this.#run(netns, args)).split(' ');
    return { rate: Number(rate), processor: Number(processor) };
  }

  /** Removes tracked connections: one with the same ports would send a new connection the classic way. */
  async forget(netns: string): Promise<void> {
    await this.#run(netns, ['forget']);
  }

  /** Sets whether a device segments packets inside tunnels. */
  async setTunnelSegments(netns: string, device: string, on: boolean): Promise<void> {
    await this.#run(netns, ['tunnel-segments', device, on ? 'on' : 'off']);
  }

  async #run(netns: string, args: readonly string[]): Promise<string> {
    const command = ['nsenter', `--net=${netns}`, '--', this.#program, ...args];
    const { exitCode, signal, stdout, stderr } = await runCommand(command, { timeoutMs: LIMIT_MS });
    if (exitCode === 0) return stdout.trim();
    const why =
      signal === null ? `exit ${exitCode}` : `ended by ${signal} (it may run for ${slowed(LIMIT_MS) / 1000} s)`;
    throw new Error(`path-load ${args.join(' ')}: ${stderr.trim() || why}`);
  }
}
