// Typed calls over a Unix socket, with one JSON object on each line. By these calls the lab's owner drives the host program and the
// runner inside each node. Calls on one connection run at the same time.

import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { errorText, OpError } from '../../lib/errors.ts';

/** The methods of a program: for each, its argument and its answer. Both are JSON. */
export type Methods<M> = { [K in keyof M]: { params: unknown; result: unknown } };

export type Handlers<M extends Methods<M>> = { [K in keyof M]: (params: M[K]['params']) => Promise<M[K]['result']> };

interface RpcRequest {
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
}

interface RpcReply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: RpcFailure;
}

interface RpcFailure {
  readonly message: string;
  /** `code` and `details` of the error on the other side, if it had them. */
  readonly code?: string | number;
  readonly details?: string;
}

/** An error that was thrown on the other side. The message is the original one. */
class RpcError extends Error {
  readonly code: string | number | undefined;
  readonly details: string | undefined;

  constructor(failure: RpcFailure) {
    super(failure.message);
    this.name = 'RpcError';
    this.code = failure.code;
    this.details = failure.details;
  }
}

/** Serves `handlers` at `path`, which must not exist. Resolves when connections are accepted. */
export function serveRpc<M extends Methods<M>>(path: string, handlers: Handlers<M>): Promise<Server> {
  const server = createServer((socket) => serveConnection(socket, handlers));
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}

function serveConnection<M extends Methods<M>>(socket: Socket, handlers: Handlers<M>): void {
  eachLine(socket, (line) => {
    const request = JSON.parse(line) as RpcRequest;
    void answer(request, handlers).then((reply) => socket.write(`${JSON.stringify(reply)}\n`));
  });
}

/** When one side goes away during a call, only the connection is closed. Without this handler, readline would pass the error on. */
function eachLine(socket: Socket, onLine: (line: string) => void): void {
  socket.on('error', () => socket.destroy());
  createInterface({ input: socket })
    .on('line', onLine)
    .on('error', () => socket.destroy());
}

async function answer<M extends Methods<M>>(
  { id, method, params }: RpcRequest,
  handlers: Handlers<M>,
): Promise<RpcReply> {
  try {
    if (!Object.hasOwn(handlers, method)) throw new Error(`no method ${method}`);
    const handler = handlers[method as keyof M];
    return { id, result: await handler(params as M[keyof M]['params']) };
  } catch (error) {
    return { id, error: failureOf(error) };
  }
}

function failureOf(thrown: unknown): RpcFailure {
  const fields = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Record<string, unknown>;
  const { code, details } = fields;
  return {
    message: errorText(thrown),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof details === 'string' ? { details } : {}),
  };
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** The side of a connection that makes calls. */
export class RpcClient<M extends Methods<M>> {
  readonly #socket: Socket;
  readonly #peer: string;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;

  constructor(socket: Socket, peer: string) {
    this.#socket = socket;
    this.#peer = peer;
    eachLine(socket, (line) => this.#settle(JSON.parse(line) as RpcReply));
    socket.on('close', () => this.#failAll());
  }

  /** Rejects with an RpcError when the other side threw, and with an OpError (EPIPE) when it went away. */
  call<K extends keyof M & string>(method: K, params: M[K]['params']): Promise<M[K]['result']> {
    if (this.#socket.destroyed) return Promise.reject(this.#gone(method));
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #settle(reply: RpcReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.error === undefined) waiting?.resolve(reply.result);
    else waiting?.reject(new RpcError(reply.error));
  }

  #failAll(): void {
    for (const waiting of this.#waiting.values()) waiting.reject(this.#gone('call'));
    this.#waiting.clear();
  }

  #gone(op: string): OpError {
    return new OpError({ subsystem: 'lab', op, object: this.#peer, code: 'EPIPE', detail: 'it is gone' });
  }
}

/** Connects to the program that serves at `path`. Error messages call it `peer`. */
export function connectRpc<M extends Methods<M>>(path: string, peer: string): Promise<RpcClient<M>> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once('error', (cause: NodeJS.ErrnoException) =>
      reject(new OpError({ subsystem: 'lab', op: 'reach', object: peer, code: cause.code ?? 'EIO', cause })),
    );
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(new RpcClient<M>(socket, peer));
    });
  });
}
