// Runs a program in a container of a pod, like `kubectl exec` without a terminal: over a WebSocket with the protocol v4.channel.k8s.io, in
// which the first byte of each message is the channel (k8s.io/apimachinery/pkg/util/remotecommand). Later protocols only allow to close the
// standard input, which is not used here.

import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { nodeErrorCode } from '../../../lib/node-error-node.ts';
import { type KubeAccess, KubeError } from '../../subnet/kube/api.ts';
import { type Fields, fieldsOf, listOf, refusal, textOf } from './cluster-api.ts';

const PROTOCOL = 'v4.channel.k8s.io';
const CHANNEL = { stdout: 1, stderr: 2, error: 3 } as const;
/** The status of a node with 5000 peers takes about 5 MB; an endless answer must not fill memory. */
const MAX_STDOUT_BYTES = 64 * 1024 * 1024;
const MAX_STDERR_BYTES = 64 * 1024;
const MAX_REFUSAL_BYTES = 4096;

export interface Container {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

export interface ExecAnswer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecLimits {
  /** Time limit from the call to the program's end. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Resolves whatever the program's exit code is. Rejects with KubeError when it could not be run or did not end in time. */
export async function execInPod(
  access: KubeAccess,
  target: Container,
  argv: readonly string[],
  limits: ExecLimits,
): Promise<ExecAnswer> {
  const { namespace, pod, container } = target;
  const object = `pod ${namespace}/${pod}`;
  const query = new URLSearchParams({ container, stdout: 'true', stderr: 'true' });
  for (const word of argv) query.append('command', word);
  const { server, options } = await access.prepare();
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/exec?${query}`;
  const url = new URL(server.pathname.replace(/\/$/, '') + path, server);
  url.protocol = server.protocol === 'http:' ? 'ws:' : 'wss:';
  const socket = new WebSocket(url, [PROTOCOL], {
    ...options,
    headers: { ...options.headers, 'user-agent': 'kubectl-weft' },
    perMessageDeflate: false,
    maxPayload: MAX_STDOUT_BYTES,
  });
  return await follow(socket, object, limits);
}

/** Collects what the program writes until its end is reported. */
function follow(socket: WebSocket, object: string, { timeoutMs, signal }: ExecLimits): Promise<ExecAnswer> {
  return new Promise((resolve, reject) => {
    const streams = { stdout: new Collected(MAX_STDOUT_BYTES), stderr: new Collected(MAX_STDERR_BYTES) };
    const fail = (code: string, detail: string): void => settle(() => reject(failure(object, code, detail)));
    const timer = setTimeout(() => fail('timeout', `no answer came within ${timeoutMs / 1000} s`), timeoutMs);
    const onAbort = (): void => fail('aborted', '');
    const settle = (end: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      end();
      socket.terminate();
    };
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    socket.on('unexpected-response', (_, response) => {
      void readRefusal(response).then((body) =>
        settle(() => reject(refusal('exec', object, response.statusCode ?? 0, body))),
      );
    });
    socket.on('error', (error) => fail(nodeErrorCode(error) ?? 'error', error.message));
    socket.on('close', (code) =>
      fail('closed', `the connection was closed with code ${code} before the program ended`),
    );
    socket.on('message', (data) => {
      const [channel, bytes] = [data[0], data.subarray(1)];
      if (channel === CHANNEL.error) {
        const exitCode = exitCodeOf(bytes.toString('utf8'));
        if (typeof exitCode === 'string') fail('not run', exitCode);
        else settle(() => resolve({ exitCode, stdout: streams.stdout.text(), stderr: streams.stderr.text() }));
      } else if (channel === CHANNEL.stdout && !streams.stdout.add(bytes)) {
        fail('too large', `the program wrote more than ${MAX_STDOUT_BYTES} bytes`);
      } else if (channel === CHANNEL.stderr) streams.stderr.add(bytes);
    });
  });
}

class Collected {
  readonly #max: number;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Returns false when the limit is exceeded; then the bytes are dropped. */
  add(bytes: Buffer): boolean {
    if (this.#length + bytes.length > this.#max) return false;
    this.#length += bytes.length;
    this.#chunks.push(bytes);
    return true;
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}

/** The exit code in the Status that ends every run, or a text that says why the program could not be run. */
export function exitCodeOf(text: string): number | string {
  let status: Fields;
  try {
    status = fieldsOf(JSON.parse(text));
  } catch {
    return text.slice(0, 300);
  }
  if (status['status'] === 'Success') return 0;
  const cause = listOf(fieldsOf(status['details'])['causes']).find(({ reason }) => reason === 'ExitCode');
  const code = Number(textOf(cause?.['message']));
  return status['reason'] === 'NonZeroExitCode' && Number.isInteger(code)
    ? code
    : textOf(status['message']).slice(0, 300);
}

async function readRefusal(response: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      text += chunk.toString('utf8');
      if (text.length > MAX_REFUSAL_BYTES) break;
    }
  } catch {
    return text; // what has arrived so far says enough
  }
  return text;
}

function failure(object: string, code: string, detail: string): KubeError {
  return new KubeError('exec', object, 0, code, detail);
}
