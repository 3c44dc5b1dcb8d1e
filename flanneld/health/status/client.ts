// `flanneld status`: asks the running agent over its socket.

import { request } from 'node:http';
import { OpError } from '../../../lib/errors.ts';
import { nodeErrorCode } from '../../../lib/node-error-node.ts';
import type { StatusReport } from './report.ts';
import { socketPathFor } from './socket.ts';

/** How long the agent may take to answer. */
export const TIMEOUT_MS = 5000;
const MAX_BYTES = 64 * 1024 * 1024;

/** The report of the agent that writes `subnetFile`. Rejects with OpError when there is no agent, or no answer in time (`timeout`). */
export async function fetchStatus(subnetFile: string, timeoutMs = TIMEOUT_MS): Promise<StatusReport> {
  const path = socketPathFor(subnetFile);
  const text = await ask('GET', path, '/status', timeoutMs);
  try {
    return JSON.parse(text) as StatusReport;
  } catch (cause) {
    throw failure(path, 'invalid', 'the answer is no JSON', cause);
  }
}

/** The agent's present leases, as the text of a saved state. Rejects like fetchStatus, and for an older agent. */
export async function fetchLeases(subnetFile: string, timeoutMs = TIMEOUT_MS): Promise<string> {
  return await ask('GET', socketPathFor(subnetFile), '/leases', timeoutMs);
}

/** Asks the agent that writes `subnetFile` to end, as SIGTERM does. Rejects with OpError when there is none. */
export async function askToStop(subnetFile: string): Promise<void> {
  await ask('POST', socketPathFor(subnetFile), '/stop');
}

/** Asks the agent that writes `subnetFile` for a new key of its node. Rejects with OpError when there is none. */
export async function askToRotateKey(subnetFile: string): Promise<void> {
  await ask('POST', socketPathFor(subnetFile), '/rotate-key');
}

function ask(method: 'GET' | 'POST', socketPath: string, path: string, timeoutMs = TIMEOUT_MS): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ method, socketPath, path, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_BYTES) response.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      response.on('error', (error) => reject(explain(socketPath, error)));
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString('utf8'));
        else reject(failure(socketPath, `HTTP ${response.statusCode}`, 'is the agent of another version?'));
      });
    });
    asked.on('error', (error) => reject(explain(socketPath, error)));
    asked.end();
  });
}

const DETAILS: Readonly<Record<string, string>> = {
  ENOENT: 'no agent runs with this --subnet-file',
  ECONNREFUSED: 'the agent is not running',
  EACCES: 'only the user as whom the agent runs may ask it',
};

function explain(path: string, error: Error): OpError {
  if (error.name === 'TimeoutError' || error.name === 'AbortError') {
    return failure(path, 'timeout', 'the agent does not answer', error);
  }
  const code = nodeErrorCode(error) ?? 'error';
  return failure(path, code, DETAILS[code] ?? error.message, error);
}

function failure(object: string, code: string, detail: string, cause?: unknown): OpError {
  return new OpError({ subsystem: 'status', op: 'ask', object, code, detail, cause });
}
