// The agent's HTTP endpoints for probes: /healthz says that the process runs, /readyz that the node forwards. Differs from flannel: it
// listens before the cluster state answers (D2), and ready means that device, rules and all known peers are in place (D3).

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { errorText, OpError } from '../../lib/errors.ts';
import { printable } from '../../lib/printable.ts';
import { BACKLOG, limitConnections } from './crowd.ts';

/** One line of /readyz?verbose. */
export interface Check {
  readonly name: string;
  /** Undefined when nothing is wrong. */
  readonly problem?: string | undefined;
  /** Whether the problem makes this node unready. A failing peer does not. */
  readonly required: boolean;
}

export interface HttpServer {
  /** The port in use; the kernel chooses it when 0 was asked for. It is 0 for a Unix socket. */
  readonly port: number;
  close(): Promise<void>;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** The answer to GET for each path. */
export type Pages = ReadonlyMap<string, (query: URLSearchParams) => Answer | Promise<Answer>>;

export type ListenAt = { readonly address: string; readonly port: number } | { readonly path: string };

const CLOSE_MS = 3000;

/** What POST does for each path; the answer is sent first, because the action may end the process. */
export type Actions = ReadonlyMap<string, () => void>;

/** Listens and answers GET with `pages`, POST with `actions`; rejects with OpError when listening is not possible. */
export function serveHttp(at: ListenAt, pages: Pages, actions: Actions = new Map()): Promise<HttpServer> {
  const server = createServer((request, response) => {
    const action = request.method === 'POST' ? actions.get(request.url ?? '') : undefined;
    if (action !== undefined) response.end('done\n', action);
    else void answer(request, response, pages);
  });
  server.headersTimeout = 5000;
  server.requestTimeout = 5000;
  limitConnections(server);
  return new Promise((resolve, reject) => {
    // The handler also stays for later errors: one connection that cannot be accepted (EMFILE) must not end the agent.
    server.on('error', (error: NodeJS.ErrnoException) => {
      const object = 'path' in at ? at.path : `${at.address}:${at.port}`;
      const code = error.code ?? 'error';
      reject(new OpError({ subsystem: 'health', op: 'listen on', object, code, cause: error }));
    });
    const listening = (): void => {
      const bound = server.address();
      resolve({
        port: typeof bound === 'object' && bound !== null ? bound.port : 0,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            server.closeIdleConnections();
            setTimeout(() => server.closeAllConnections(), CLOSE_MS).unref();
          }),
      });
    };
    const where = 'path' in at ? { path: at.path } : { port: at.port, host: at.address };
    server.listen({ ...where, backlog: BACKLOG }, listening);
  });
}

async function answer(request: IncomingMessage, response: ServerResponse, pages: Pages): Promise<void> {
  const { status, type, text } = await answerFor(request, pages);
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(request.method === 'HEAD' ? undefined : text);
}

async function answerFor({ method, url }: IncomingMessage, pages: Pages): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') return plain(405, 'method not allowed\n');
  try {
    const { pathname, searchParams } = new URL(url ?? '/', 'http://localhost');
    const page = pages.get(pathname);
    if (page === undefined) return plain(404, `not found; the pages here are ${[...pages.keys()].join(', ')}\n`);
    return await page(searchParams);
  } catch (error) {
    return plain(500, `${errorText(error)}\n`);
  }
}

/** The pages for probes. */
export function healthPages(checks: () => readonly Check[]): Pages {
  return new Map([
    ['/healthz', () => plain(200, 'flanneld is running\n')],
    ['/readyz', (query: URLSearchParams) => readyPage(checks(), query.has('verbose'))],
  ]);
}

export function isReady(checks: readonly Check[]): boolean {
  return checks.every((check) => check.problem === undefined || !check.required);
}

function readyPage(checks: readonly Check[], verbose: boolean): Answer {
  const ready = isReady(checks);
  const verdict = ready ? 'flanneld is ready\n' : 'flanneld is not ready yet\n';
  const shown = verbose ? checks : checks.filter((check) => check.required && check.problem !== undefined);
  return plain(ready ? 200 : 503, shown.map((check) => `${printable(checkLine(check))}\n`).join('') + verdict);
}

function checkLine({ name, problem, required }: Check): string {
  if (problem === undefined) return `[+] ${name}: ok`;
  return `${required ? '[-]' : '[!]'} ${name}: ${problem}`;
}

function plain(status: number, text: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', text };
}
