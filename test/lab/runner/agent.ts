// Starts, watches and ends the node's agent, as a service manager would.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { OpError } from '../../../lib/errors.ts';
import { slowed } from '../../support/slowness.ts';
import { monotonicNs } from '../command.ts';
import { AGENT_LOG, type AgentSpec, type AgentState, type HttpAnswer, SUBNET_FILE } from '../contract.ts';
import { waitUntil } from '../processes.ts';

const LOG_TAIL_LINES = 5;
const HTTP_TIMEOUT_MS = slowed(1000);

export class AgentService {
  readonly #spec: AgentSpec | undefined;
  #child: ChildProcess | undefined;
  #startNs: number | undefined;

  constructor(spec: AgentSpec | undefined) {
    this.#spec = spec;
  }

  /** Starts the agent. Does nothing when it already runs. */
  async start(): Promise<AgentState> {
    const spec = this.#requireSpec();
    if (this.#running()) return this.state();
    const [file = '', ...args] = spec.argv;
    const log = openSync(AGENT_LOG, 'a');
    this.#startNs = monotonicNs();
    const child = spawn(file, args, { env: spec.env, stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    await once(child, 'spawn');
    return this.state();
  }

  /** Resolves with the milliseconds since the start. Rejects when the agent ends or the time is up. */
  async ready(): Promise<{ readyMs: number }> {
    const { healthPort, readyTimeoutMs } = this.#requireSpec();
    let said = `no ${SUBNET_FILE}`;
    const isReady = async (): Promise<boolean> => {
      if (!this.#running()) throw this.#failure('ended before it was ready', this.#ending());
      if (!existsSync(SUBNET_FILE)) return false;
      said = await reasonNotReady(healthPort);
      return said === '';
    };
    try {
      await waitUntil(isReady, readyTimeoutMs, 'agent');
    } catch (error) {
      if ((error as OpError).code !== 'ETIMEDOUT') throw error;
      throw this.#failure('not ready', `after ${slowed(readyTimeoutMs)} ms: ${said}`);
    }
    return { readyMs: (monotonicNs() - (this.#startNs ?? 0)) / 1e6 };
  }

  async stop(timeoutMs: number): Promise<AgentState> {
    await this.#end('SIGTERM', timeoutMs);
    return this.state();
  }

  async kill(): Promise<AgentState> {
    await this.#end('SIGKILL', 5000);
    return this.state();
  }

  state(): AgentState {
    const child = this.#child;
    return {
      pid: child?.pid,
      running: this.#running(),
      exitCode: child?.exitCode,
      signal: child?.signalCode,
      startNs: this.#startNs,
    };
  }

  /** Sends a GET to the probe server. Rejects when nobody listens. */
  async http(path: string): Promise<HttpAnswer> {
    return await httpGet(this.#requireSpec().healthPort, path);
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL', timeoutMs: number): Promise<void> {
    if (!this.#running()) return;
    this.#child?.kill(signal);
    await waitUntil(() => !this.#running(), timeoutMs, `end of the agent after ${signal}`);
  }

  #running(): boolean {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  #ending(): string {
    const child = this.#child;
    return child?.signalCode ? `by ${child.signalCode}` : `with exit code ${child?.exitCode}`;
  }

  #failure(code: string, how: string): OpError {
    return new OpError({
      subsystem: 'lab',
      op: 'start',
      object: 'flanneld',
      code: `${code} ${how}`,
      detail: logTail(),
    });
  }

  #requireSpec(): AgentSpec {
    if (this.#spec !== undefined) return this.#spec;
    throw new OpError({ subsystem: 'lab', op: 'start', object: 'flanneld', code: 'this node has no agent' });
  }
}

function logTail(): string {
  const text = existsSync(AGENT_LOG) ? readFileSync(AGENT_LOG, 'utf8') : '';
  return text.trim().split('\n').slice(-LOG_TAIL_LINES).join('; ');
}

/** Empty when it is ready. */
async function reasonNotReady(port: number): Promise<string> {
  try {
    const { status, body } = await httpGet(port, '/readyz?verbose');
    return status === 200 ? '' : body.trim();
  } catch (error) {
    // The agent does not listen yet.
    return `/readyz: ${String(error)}`;
  }
}

async function httpGet(port: number, path: string): Promise<HttpAnswer> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    signal: AbortSignal.timeout(HTTP_TIMEOUT_MS),
    headers: { connection: 'close' },
  });
  return { status: response.status, body: await response.text() };
}
