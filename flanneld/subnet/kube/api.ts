// The agent's calls to the Kubernetes API: it lists Nodes in pages, watches, reads and patches them, and creates Events.

import type { RequestOptions } from 'node:https';
import { errorText, OpError } from '../../../lib/errors.ts';
import type { HttpCall } from '../http.ts';
import { HttpError, HttpStatusError, httpChunks, httpLines, httpRequest } from '../http.ts';
import { asObject, asText } from './node.ts';
import { JsonListReader, type ListEnd, NodeListReader, type OnNode, protobufType } from './node-list.ts';
import { ProtoError } from './proto.ts';

/** Says how to reach the API server; `prepare` also renews credentials. */
export interface KubeAccess {
  prepare(): Promise<{ readonly server: URL; readonly options: RequestOptions }>;
}

/** `kube: patch node node-1: 409 Conflict (…)`; `status` is 0 when there was no answer. */
export class KubeError extends OpError {
  readonly status: number;

  constructor(op: string, object: string, status: number, code: string, detail: string, cause?: unknown) {
    super({ subsystem: 'kube', op, object, code, detail, cause });
    this.name = 'KubeError';
    this.status = status;
  }
}

export interface ListQuery {
  /** Nodes in one page. */
  readonly limit: number;
  /** The `next` of the page before; empty for the first page. */
  readonly next: string;
  /** Whether the server may answer from its memory. That may be some seconds old, comes in one page, and saves etcd work. */
  readonly isCacheFine: boolean;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: unknown;
}

export interface WatchReader {
  onOpen(): void;
  onEvent(event: WatchEvent): void;
}

export interface KubeApiOptions {
  readonly access: KubeAccess;
  readonly timeoutMs: number;
  /** The server sends a bookmark every minute. A watch that is silent for this long is regarded as dead. */
  readonly watchIdleMs: number;
}

/** Asks for only the metadata of a changed Node; servers before 1.15 send the whole Node. */
const watchForm = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';

const listForm = `${protobufType},application/json`;

type Ask = Pick<HttpCall, 'method'> & { readonly op: string; readonly object: string; readonly path: string };

export class KubeApi {
  readonly #options: KubeApiOptions;

  constructor(options: KubeApiOptions) {
    this.#options = options;
  }

  async getNode(name: string, signal: AbortSignal): Promise<unknown> {
    const path = `/api/v1/nodes/${encodeURIComponent(name)}`;
    return await this.#ask({ method: 'GET', op: 'get', object: `node ${name}`, path }, signal);
  }

  async getPod(namespace: string, name: string, signal: AbortSignal): Promise<unknown> {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
    return await this.#ask({ method: 'GET', op: 'get', object: `pod ${namespace}/${name}`, path }, signal);
  }

  /** Reads one page and passes each Node on as it arrives. The server answers 410 when the page was asked for too late. */
  async listNodes({ limit, next, isCacheFine }: ListQuery, onNode: OnNode, signal: AbortSignal): Promise<ListEnd> {
    const from = next === '' ? isCacheFine && { resourceVersion: '0' } : { continue: next };
    const path = `/api/v1/nodes?${new URLSearchParams({ limit: String(limit), ...from })}`;
    const ask: Ask = { method: 'GET', op: 'list', object: 'nodes', path };
    const call = await this.#prepare(ask, signal);
    const headers = { ...call.headers, accept: listForm, 'accept-encoding': 'gzip' };
    let reader: NodeListReader | JsonListReader = new JsonListReader(onNode);
    const onOpen = (type: string): void => {
      if (type.startsWith(protobufType)) reader = new NodeListReader(onNode);
    };
    const onChunk = (chunk: Buffer): void => reader.push(chunk);
    try {
      await httpChunks({ ...call, headers }, { onOpen, onChunk, idleMs: call.timeoutMs });
      return reader.end();
    } catch (error) {
      throw toKubeError(error, ask);
    }
  }

  /** Watches until the server ends it, at the latest after `timeoutSec`. Rejects with KubeError; 410 means "list again". */
  async watchNodes(
    resourceVersion: string,
    timeoutSec: number,
    reader: WatchReader,
    signal: AbortSignal,
  ): Promise<void> {
    const query = { watch: '1', allowWatchBookmarks: 'true', resourceVersion, timeoutSeconds: String(timeoutSec) };
    const path = `/api/v1/nodes?${new URLSearchParams(query)}`;
    const ask: Ask = { method: 'GET', op: 'watch', object: 'nodes', path };
    const call = await this.#prepare(ask, signal);
    const onLine = (line: string): void => reader.onEvent(readEvent(line));
    try {
      const headers = { ...call.headers, accept: watchForm };
      const { watchIdleMs: idleMs } = this.#options;
      await httpLines({ ...call, headers }, { onLine, onOpen: () => reader.onOpen(), idleMs });
    } catch (error) {
      throw toKubeError(error, ask);
    }
  }

  /**
   * Asks for the server's version, which needs no right and costs the server almost nothing. Rejects with KubeError when no answer comes,
   * or one of a proxy whose server is gone (5xx). Any other answer shows that the server is there.
   */
  async ping(signal: AbortSignal): Promise<void> {
    const ask: Ask = { method: 'GET', op: 'get', object: 'version', path: '/version' };
    const call = await this.#prepare(ask, signal);
    try {
      const { status, body } = await httpRequest(call);
      if (status >= 500) throw new HttpStatusError(status, body);
    } catch (error) {
      throw toKubeError(error, ask);
    }
  }

  /** Applies a strategic merge patch to the node's status sub-resource, which is all that RBAC allows. Returns the new Node. */
  async patchNodeStatus(name: string, patch: object, signal: AbortSignal): Promise<unknown> {
    const path = `/api/v1/nodes/${encodeURIComponent(name)}/status`;
    const ask: Ask = { method: 'PATCH', op: 'patch', object: `node ${name}`, path };
    return await this.#ask(ask, signal, patch, 'application/strategic-merge-patch+json');
  }

  async createEvent(event: object, signal: AbortSignal): Promise<void> {
    const path = '/api/v1/namespaces/default/events';
    await this.#ask({ method: 'POST', op: 'create', object: 'event', path }, signal, event, 'application/json');
  }

  async #ask(ask: Ask, signal: AbortSignal, body?: object, contentType?: string): Promise<unknown> {
    const call = await this.#prepare(ask, signal);
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers = { ...call.headers, ...(contentType && { 'content-type': contentType }) };
    try {
      const { status, body: text } = await httpRequest({ ...call, ...content, headers });
      if (status < 200 || status > 299) throw new HttpStatusError(status, text);
      return JSON.parse(text);
    } catch (error) {
      throw toKubeError(error, ask);
    }
  }

  async #prepare(ask: Ask, signal: AbortSignal): Promise<HttpCall> {
    const { access, timeoutMs } = this.#options;
    try {
      const { server, options } = await access.prepare();
      const url = new URL(server.pathname.replace(/\/$/, '') + ask.path, server);
      const headers = { accept: 'application/json', 'user-agent': 'weft-flanneld' };
      return { method: ask.method, url, headers, options, timeoutMs, signal };
    } catch (error) {
      throw new KubeError(ask.op, ask.object, 0, 'no credentials', errorText(error), error);
    }
  }
}

function readEvent(line: string): WatchEvent {
  const event = asObject(JSON.parse(line));
  return { type: asText(event?.['type']), object: event?.['object'] };
}

/** The error in an ERROR event of a watch (a Status object). */
export function errorOfStatus(object: unknown): KubeError {
  const status = asObject(object);
  const code = typeof status?.['code'] === 'number' ? status['code'] : 0;
  const reason = asText(status?.['reason']);
  return new KubeError('watch', 'nodes', code, `${code} ${reason}`.trim(), asText(status?.['message']).slice(0, 300));
}

/** Go's words for an errno, because people search for these. */
const goWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ETIMEDOUT: 'i/o timeout',
  timeout: 'i/o timeout',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network is unreachable',
};

function inGoWords({ code, message }: HttpError): string {
  const words = goWords[code];
  const address = /\S+:\d+$/.exec(message)?.[0];
  if (words === undefined) return message;
  const dial = address === undefined ? words : `dial tcp ${address}: ${words}`;
  return `${dial}. A service address works only while kube-proxy does; --kube-api-url names the server itself`;
}

function toKubeError(thrown: unknown, { op, object }: Ask): unknown {
  if (thrown instanceof HttpError) return new KubeError(op, object, 0, thrown.code, inGoWords(thrown), thrown);
  if (thrown instanceof SyntaxError) return new KubeError(op, object, 0, 'bad answer', 'the answer is no JSON', thrown);
  if (thrown instanceof ProtoError)
    return new KubeError(op, object, 0, 'bad answer', `the answer ${thrown.message}`, thrown);
  if (!(thrown instanceof HttpStatusError)) return thrown;
  const { status, body } = thrown;
  let answer: Readonly<Record<string, unknown>> | undefined;
  try {
    answer = asObject(JSON.parse(body));
  } catch {
    answer = undefined; // a proxy in between has sent its own text
  }
  const code = `${status} ${asText(answer?.['reason'])}`.trim();
  return new KubeError(op, object, status, code, (asText(answer?.['message']) || body).slice(0, 300));
}
