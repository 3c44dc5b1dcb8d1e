// Starts and controls the processes at the two ends of a measurement. Each runs inside its pod's network namespace and ends when the
// bench ends.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { labPrograms } from '../../test/lab/programs.ts';
import type { Arrival, EndLine, EndSpec, Protocol, SendResult, SendSpec } from './end-spec.ts';

const LOOK_MS = 2;
const START_TIMEOUT_MS = 10_000;

/** The process at one end. */
class End {
  readonly lines: EndLine[] = [];
  readonly #child: ChildProcess;
  #said = '';
  #ended = false;

  constructor(netnsFromOutside: string, program: string, spec: EndSpec) {
    const inside = ['nsenter', `--net=${netnsFromOutside}`, '--', process.execPath, program, JSON.stringify(spec)];
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...inside], { stdio: ['ignore', 'pipe', 'pipe'] });
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new Error('an end needs pipes');
    createInterface({ input: stdout }).on('line', (line) => this.lines.push(JSON.parse(line)));
    stderr.on('data', (chunk: Buffer) => {
      this.#said = `${this.#said}${chunk.toString()}`.slice(-2000);
    });
    this.#child.once('error', (error) => {
      this.#said += error.message;
      this.#ended = true;
    });
    this.#child.once('close', () => {
      this.#ended = true;
    });
  }

  /** Waits for a line in which `find` finds something. Undefined after `timeoutMs`, or when the process has ended. */
  async find<T>(find: (line: EndLine) => T | undefined, timeoutMs: number): Promise<T | undefined> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      // Asked before the lines are searched: a process that had ended by now writes no more of them.
      const last = this.#ended || performance.now() > deadlineMs;
      for (const line of this.lines) {
        const found = find(line);
        if (found !== undefined) return found;
      }
      if (last) return undefined;
      await sleep(LOOK_MS);
    }
  }

  /** Throws when the process has ended. */
  checkAlive(): void {
    if (this.#ended) throw new Error(`an end of the measurement has ended: ${this.#said.trim() || 'it said nothing'}`);
  }

  async ready(): Promise<void> {
    if ((await this.find(({ ready }) => ready, START_TIMEOUT_MS)) === true) return;
    await this.stop();
    throw new Error(`an end of the measurement did not start: ${this.#said.trim() || 'it said nothing'}`);
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await closed;
  }
}

export interface Receiver {
  /** The first packet of a run; undefined when none arrived within `timeoutMs`. */
  arrival(run: number, timeoutMs: number): Promise<Arrival | undefined>;
  /** Throws when the receiver's process is gone. Packets that it did not receive then say nothing about the network. */
  checkAlive(): void;
  stop(): Promise<void>;
}

/** Resolves when the receiver listens. */
export async function startReceiver(netnsFromOutside: string, protocol: Protocol): Promise<Receiver> {
  const end = await startEnd(netnsFromOutside, { role: 'receive', protocol });
  return {
    arrival: (run, timeoutMs) => end.find(({ arrival }) => (arrival?.run === run ? arrival : undefined), timeoutMs),
    checkAlive: () => end.checkAlive(),
    stop: () => end.stop(),
  };
}

export interface Sender {
  /** The sender's result; undefined when it has not finished within `timeoutMs`. */
  result(timeoutMs: number): Promise<SendResult | undefined>;
  stop(): Promise<void>;
}

/** Resolves when the sender waits for the interface. */
export async function startSender(netnsFromOutside: string, spec: Omit<SendSpec, 'role'>): Promise<Sender> {
  const end = await startEnd(netnsFromOutside, { role: 'send', ...spec });
  return {
    result: (timeoutMs) => end.find(({ result }) => result, timeoutMs),
    stop: () => end.stop(),
  };
}

async function startEnd(netnsFromOutside: string, spec: EndSpec): Promise<End> {
  const end = new End(netnsFromOutside, join(await labPrograms(), 'packet-end.mjs'), spec);
  await end.ready();
  return end;
}
