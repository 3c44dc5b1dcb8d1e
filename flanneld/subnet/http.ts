// HTTP for etcd and Kubernetes: a request with a time limit, or an answer that is read as it arrives, however long it lasts.
// Every call opens its own connection. A connection kept from before a network partition may be dead, and the call would
// notice that only after its time limit.

import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { request as requestHttp } from 'node:http';
import type { RequestOptions } from 'node:https';
import { request as requestHttps } from 'node:https';
import { pipeline } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { createGunzip } from 'node:zlib';
import { errorText, OpError } from '../../lib/errors.ts';
import { nodeErrorCode } from '../../lib/node-error-node.ts';

export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly url: URL;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
  /** TLS material, agent, basic authentication. */
  readonly options?: RequestOptions;
  /** Time limit for the whole answer; for a stream, until its head has arrived. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

export interface ChunkReader {
  /** Called with the Content-Type when the answer begins. */
  onOpen?(type: string): void;
  /** Called with decompressed bytes as they arrive. An error it throws ends the call. */
  onChunk(chunk: Buffer): void;
  /** A connection without data for this long is regarded as dead. */
  readonly idleMs: number;
}

export interface LineReader extends Omit<ChunkReader, 'onChunk'> {
  /** Called with each line, without its end. An error it throws ends the call. */
  onLine(line: string): void;
}

/** There was no (complete) answer; `code` is `ECONNREFUSED`, `timeout`, `idle`, `aborted`, `too large`, … */
export class HttpError extends Error {
  readonly code: string;

  constructor(code: string, detail: string, cause?: unknown) {
    super(detail === '' ? code : detail, { cause });
    this.name = 'HttpError';
    this.code = code;
  }
}

/** The server answered with a status that is not 2xx. */
export class HttpStatusError extends Error {
  readonly status: number;
  readonly body: string;

  constructor(status: number, body: string) {
    super(`HTTP ${status}`);
    this.name = 'HttpStatusError';
    this.status = status;
    this.body = body;
  }
}

/** A page of 500 Node objects of a busy cluster has 10 MB; an endless answer must not fill memory. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
const MAX_ERROR_BYTES = 64 * 1024;
const MAX_LINE_CHARS = 16 * 1024 * 1024;
/** TCP keepalive probes a silent connection after this time, then every second; after ten probes it is dead (libuv's values). */
const KEEP_ALIVE_MS = 3000;

/** Sends one request and reads the whole answer, whatever its status. Rejects with HttpError. */
export async function httpRequest(call: HttpCall): Promise<HttpAnswer> {
  return await exchange(call, async (response) => {
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MAX_BODY_BYTES) throw new HttpError('too large', `answer is larger than ${MAX_BODY_BYTES} bytes`);
      chunks.push(chunk);
    }
    return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') };
  });
}

/**
 * Sends one request and passes its answer on as it arrives; resolves at the end of the answer. Rejects with HttpStatusError,
 * HttpError, or the error the reader threw.
 */
export async function httpChunks(call: HttpCall, { onOpen, onChunk, idleMs }: ChunkReader): Promise<void> {
  await exchange(call, async (response, request, headArrived) => {
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw new HttpStatusError(status, await readError(response));
    headArrived();
    onOpen?.(response.headers['content-type'] ?? '');
    const dead = (): void => void request.destroy(new HttpError('idle', `nothing heard for ${idleMs} ms`));
    let timer = setTimeout(dead, idleMs);
    try {
      for await (const chunk of unpacked(response)) {
        clearTimeout(timer);
        timer = setTimeout(dead, idleMs);
        onChunk(chunk);
      }
    } finally {
      clearTimeout(timer);
    }
  });
}

/** The same line by line. A last line without a line end was cut off, so it is dropped. */
export async function httpLines(call: HttpCall, { onLine, ...reader }: LineReader): Promise<void> {
  await httpChunks(call, { ...reader, onChunk: splitLines(onLine) });
}

/** How much is unpacked at once. A compressed list of Nodes grows tenfold, and each piece takes a round trip through another thread. */
const UNPACKED_BYTES = 256 * 1024;

function unpacked(response: IncomingMessage): AsyncIterable<Buffer> {
  if (response.headers['content-encoding'] !== 'gzip') return response;
  // The reader gets the error, too, so the callback does nothing.
  return pipeline(response, createGunzip({ chunkSize: UNPACKED_BYTES }), () => undefined);
}

async function readError(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8');
    if (text.length > MAX_ERROR_BYTES) break;
  }
  return text;
}

/** Cuts chunks into lines; a line or a UTF-8 character may begin in one chunk and end in the next. */
export function splitLines(onLine: (line: string) => void): (chunk: Buffer) => void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  return (chunk) => {
    const parts = decoder.write(chunk).split('\n');
    rest += parts.shift() ?? '';
    for (const part of parts) {
      const line = rest;
      rest = part;
      if (line.trim() !== '') onLine(line);
    }
    if (rest.length > MAX_LINE_CHARS)
      throw new HttpError('too large', `line is longer than ${MAX_LINE_CHARS} characters`);
  };
}

type Reader<T> = (response: IncomingMessage, request: ClientRequest, headArrived: () => void) => Promise<T>;

/** Runs one call on its own connection, which is closed when the promise settles. */
async function exchange<T>(call: HttpCall, read: Reader<T>): Promise<T> {
  const { signal, timeoutMs } = call;
  if (signal.aborted) throw new HttpError('aborted', '', signal.reason);
  const request = open(call);
  const timer = setTimeout(() => {
    request.destroy(new HttpError('timeout', `no answer within ${timeoutMs} ms`));
  }, timeoutMs);
  const onAbort = (): void => void request.destroy(new HttpError('aborted', '', signal.reason));
  signal.addEventListener('abort', onAbort);
  let failure: Error | undefined;
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.on('error', (error) => {
        failure ??= error; // when a request is destroyed, its response fails only with "aborted"
        reject(error);
      });
      request.once('response', resolve);
      request.once('socket', (socket) => socket.setKeepAlive(true, KEEP_ALIVE_MS));
      request.end(call.body);
    });
    return await read(response, request, () => clearTimeout(timer));
  } catch (error) {
    throw toHttpError(failure ?? error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    request.destroy();
  }
}

function open({ url, method, headers, body, options }: HttpCall): ClientRequest {
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  const all: RequestOptions = {
    agent: false,
    ...options,
    method,
    headers: { ...options?.headers, ...headers, ...length },
  };
  if (url.protocol === 'https:') return requestHttps(url, all);
  return requestHttp(url, all);
}

function toHttpError(thrown: unknown): unknown {
  if (thrown instanceof HttpError || thrown instanceof HttpStatusError || thrown instanceof OpError) return thrown;
  const code = nodeErrorCode(thrown);
  return code === undefined ? thrown : new HttpError(code, errorText(thrown), thrown);
}
