// A UDP flow with sequence numbers between two network namespaces, to measure what a change costs:
//   const flow = await startFlow(podA, podB);
//   …
//   const { lost, longestLossMs, ownGapMs } = await flow.stop();

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { OpError } from '../../../lib/errors.ts';
import { labPrograms } from '../../lab/programs.ts';
import { slowed } from '../../support/slowness.ts';
import {
  ASK_BEGIN,
  ASK_PROGRESS,
  ASK_STOP,
  type FlowEnd,
  type FlowOptions,
  type FlowProgress,
  type FlowResult,
  type FlowSpec,
} from './spec.ts';

/** When a flow's process got no CPU for longer than this, its result describes the machine and not the network. */
export const MAX_OWN_GAP_MS = 20;
const START_TIMEOUT_MS = slowed(10_000);
const STEADY_IN_ROW = 50;
const LOOK_MS = slowed(10);

/**
 * Starts a flow and resolves once packets arrive steadily; from then on they are counted. Needs root. The flow ends with this
 * process. Rejects with an OpError (ETIMEDOUT) when nothing arrives, or with what the flow's process printed when it ends.
 */
export async function startFlow(
  from: FlowEnd,
  to: FlowEnd,
  options: FlowOptions = {},
  timeoutMs = START_TIMEOUT_MS,
): Promise<Flow> {
  const spec: FlowSpec = { ...options, from: endOf(from), to: endOf(to) };
  const program = join(await labPrograms(), 'probe.mjs');
  // The lowest real-time priority. Without it, the flow would also measure how long its process waits for a processor.
  const rank = ['setpriv', '--pdeathsig', 'KILL', '--', 'chrt', '--fifo', '1'];
  const [file = '', ...args] = [...rank, process.execPath, program, JSON.stringify(spec)];
  const flow = new Flow(spawn(file, args, { stdio: 'pipe' }), `${from.ip} to ${to.ip}`);
  try {
    await flow.untilInRow(STEADY_IN_ROW, timeoutMs);
    await flow.begin();
    return flow;
  } catch (error) {
    await flow.abandon();
    throw error;
  }
}

export class Flow {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #name: string;
  #said = '';

  constructor(child: ChildProcess, name: string) {
    const { stdin, stdout, stderr } = child;
    if (stdin === null || stdout === null || stderr === null) throw new Error('a flow needs pipes');
    this.#child = child;
    this.#name = name;
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    // The reason of its end is known from its exit code and its stderr.
    stdin.on('error', () => stdin.destroy());
    stderr.on('data', (chunk: Buffer) => {
      this.#said = `${this.#said}${chunk.toString()}`.slice(-2000);
    });
  }

  /** Counts from now on. */
  async begin(): Promise<void> {
    await this.#ask(ASK_BEGIN);
  }

  async progress(): Promise<FlowProgress> {
    return (await this.#ask(ASK_PROGRESS)) as FlowProgress;
  }

  /** Ends the flow, waits for packets that are still under way, and resolves with what happened to each packet. */
  async stop(): Promise<FlowResult> {
    const ended = once(this.#child, 'close');
    const result = (await this.#ask(ASK_STOP)) as FlowResult;
    await ended;
    return result;
  }

  /** Ends the flow, in whatever state it is. */
  async abandon(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await ended;
  }

  /**
   * Resolves when that many packets have arrived in a row. Rejects with an OpError (ETIMEDOUT) when this has not happened after
   * `timeoutMs`.
   */
  async untilInRow(count: number, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const { sent, received, inRow } = await this.progress();
      if (inRow >= count) return;
      if (performance.now() > deadline) {
        throw this.#error('ETIMEDOUT', `${received} of ${sent} arrived, ${inRow} of the newest in a row`);
      }
      await sleep(LOOK_MS);
    }
  }

  /** Counts how many packets are sent and how many arrive in the next `durationMs`. */
  async count(durationMs: number): Promise<{ sent: number; received: number }> {
    const before = await this.progress();
    await sleep(durationMs);
    const after = await this.progress();
    return { sent: after.sent - before.sent, received: after.received - before.received };
  }

  async #ask(letter: string): Promise<unknown> {
    this.#child.stdin?.write(letter);
    const line = await this.#lines.next();
    if (line.done === true) throw this.#error('ended', this.#said.trim());
    return JSON.parse(line.value);
  }

  #error(code: string, detail: string): OpError {
    return new OpError({ subsystem: 'probe', op: 'run', object: `flow ${this.#name}`, code, detail });
  }
}

/** Takes from the object of a pod or node only what the flow's process needs. */
function endOf({ netnsFromOutside, ip }: FlowEnd): FlowEnd {
  return { netnsFromOutside, ip };
}
