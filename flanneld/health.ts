// The agent's HTTP endpoints for probes: /healthz says that the process lives, /readyz that the node forwards.
// Differs from flannel: it listens before the cluster state answers (D2), and ready means that device, rules and all
// known peers are in place (D3).

import { createServer, type ServerResponse } from 'node:http';
import { OpError } from '../lib/errors.ts';

/** One line of /readyz?verbose. */
export interface Check {
  readonly name: string;
  /** Undefined: fine. */
  readonly problem?: string | undefined;
  /** Whether the node is unready because of it; a failing peer is shown, but is not this node's unreadiness. */
  readonly required: boolean;
}

export interface HealthServer {
  /** The port in use, which the kernel chose when 0 was asked for. */
  readonly port: number;
  close(): Promise<void>;
}

const CLOSE_MS = 3000;

/** Listens on `address`:`port`; rejects with OpError when that is not possible. */
export function serveHealth(address: string, port: number, checks: () => readonly Check[]): Promise<HealthServer> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'method not allowed\n');
    if (url.pathname === '/healthz') return answer(response, 200, 'flanneld is running\n');
    if (url.pathname === '/readyz') return answerReady(response, checks(), url.searchParams.has('verbose'));
    return answer(response, 404, 'not found: /healthz and /readyz are here\n');
  });
  server.headersTimeout = 5000;
  server.requestTimeout = 5000;
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? 'error';
      reject(new OpError({ subsystem: 'health', op: 'listen on', object: `${address}:${port}`, code, cause: error }));
    });
    server.listen(port, address, () => {
      const bound = server.address();
      resolve({
        port: typeof bound === 'object' && bound !== null ? bound.port : port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            server.closeIdleConnections();
            setTimeout(() => server.closeAllConnections(), CLOSE_MS).unref();
          }),
      });
    });
  });
}

function answerReady(response: ServerResponse, checks: readonly Check[], verbose: boolean): void {
  const ready = checks.every((check) => check.problem === undefined || !check.required);
  const verdict = ready ? 'flanneld is ready\n' : 'flanneld is not ready yet\n';
  const shown = verbose ? checks : checks.filter((check) => check.required && check.problem !== undefined);
  answer(response, ready ? 200 : 503, shown.map(checkLine).join('') + verdict);
}

function checkLine({ name, problem, required }: Check): string {
  if (problem === undefined) return `[+] ${name}: ok\n`;
  return `${required ? '[-]' : '[!]'} ${name}: ${problem}\n`;
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' });
  response.end(text);
}
